"""Names that several processes must agree on."""

from enum import StrEnum
from uuid import UUID

from temporalio.common import SearchAttributeKey

CONTROL_QUEUE = "control"
BUILD_QUEUE = "build"
WEBHOOK_QUEUE = "webhooks"


class WorkflowName(StrEnum):
    """Workflow types as the Temporal UI shows them."""

    BUILD_AND_DEPLOY = "BuildAndDeploy"
    DEPLOY = "Deploy"
    ROLLBACK = "Rollback"
    ENVIRONMENT = "Environment"
    WEBHOOK_DELIVERY = "WebhookDelivery"


# Their ids are those of operations.
OPERATION_WORKFLOWS = (WorkflowName.BUILD_AND_DEPLOY, WorkflowName.DEPLOY, WorkflowName.ROLLBACK)


class SignalName(StrEnum):
    """Signals between workflows."""

    REQUEST_TURN = "request_turn"
    RETURN_TURN = "return_turn"
    TURN_GRANTED = "turn_granted"
    TURN_QUEUED = "turn_queued"
    SUPERSEDE = "supersede"
    SETTINGS_CHANGED = "settings_changed"


PROGRESS_QUERY = "progress"
STANDING_QUERY = "standing"
ABORT_UPDATE = "abort"

ORGANIZATION = SearchAttributeKey.for_keyword("Organization")
PROJECT = SearchAttributeKey.for_keyword("Project")
ENVIRONMENT = SearchAttributeKey.for_keyword("Environment")
DELIVERY_STATUS = SearchAttributeKey.for_keyword("DeliveryStatus")
OPERATION_KIND = SearchAttributeKey.for_keyword("OperationKind")

INPUT_HASH_MEMO = "input_hash"


def operation_workflow_id(operation_id: UUID) -> str:
    """The workflow of an operation has the operation's id."""
    return str(operation_id)


def environment_workflow_id(environment_id: UUID) -> str:
    """The entity workflow that gives out an environment's lock."""
    return f"environment-{environment_id}"


def webhook_delivery_workflow_id(delivery_id: UUID) -> str:
    """The workflow that tries a failed delivery again."""
    return f"webhook-delivery-{delivery_id}"
