"""Names that several processes must agree on."""

import re
from enum import StrEnum
from typing import Final
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


# Their ids are made with the operations: see `readable_workflow_id`.
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


# Of one part; with four parts and the id a workflow's id stays below the 255 characters that a listing keeps.
MAX_PART: Final = 40
_UNREADABLE: Final = re.compile(r"[^A-Za-z0-9._+-]")


def readable_workflow_id(operation_id: UUID, *parts: str) -> str:
    """`acme/shop/production/1.4.0/<operation id>`: made once, with the operation, and stored with it.

    It is for people: slugs change and are used again, parts are cut. What decides is the operation's id at its end.
    """
    return "/".join([*map(_part, parts), str(operation_id)])


def bare_workflow_id(operation_id: UUID) -> str:
    """Of an operation that was made before ids of workflows could be read."""
    return str(operation_id)


def operation_of(workflow_id: str | None) -> UUID | None:
    """Which operation a workflow says it is of; None: no operation's, as an environment's, which acts for nobody.

    Whoever reaches Temporal may start one that ends like this: what matters asks the record for its whole id.
    """
    last = (workflow_id or "").rpartition("/")[2]
    try:
        found = UUID(last)
    except ValueError:
        return None
    return found if str(found) == last else None


def _part(text: str) -> str:
    # No part is empty, `.` or `..`: pages of the UI have these ids in their addresses.
    return _UNREADABLE.sub("-", text)[:MAX_PART].strip(".") or "-"


def environment_workflow_id(environment_id: UUID) -> str:
    """The entity workflow that gives out an environment's lock."""
    return f"environment-{environment_id}"


def webhook_delivery_workflow_id(delivery_id: UUID) -> str:
    """The workflow that tries a failed delivery again."""
    return f"webhook-delivery-{delivery_id}"
