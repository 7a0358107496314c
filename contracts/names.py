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
    RESCAN = "Rescan"


# Their workflow ids are created with the operation: see `readable_workflow_id`.
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


# Maximum length of one part. With four parts and the id, a workflow id stays below Temporal's limit of 255 for
# listings.
MAX_PART: Final = 40
_UNREADABLE: Final = re.compile(r"[^A-Za-z0-9._+-]")


def readable_workflow_id(operation_id: UUID, *parts: str) -> str:
    """`acme/shop/production/1.4.0/<operation id>`: created once, with the operation, and stored with it.

    It is for people: slugs change and are reused, parts are truncated. The operation's id at its end identifies it.
    """
    return "/".join([*map(_part, parts), str(operation_id)])


def bare_workflow_id(operation_id: UUID) -> str:
    """The workflow id of operations created before readable ids were introduced."""
    return str(operation_id)


def operation_of(workflow_id: str | None) -> UUID | None:
    """The operation id at the end of a workflow id; None if there is none, such as for an environment's workflow.

    Anybody with access to Temporal can start a workflow with such an id: compare it with the whole id of the record
    before relying on it.
    """
    last = (workflow_id or "").rpartition("/")[2]
    try:
        found = UUID(last)
    except ValueError:
        return None
    return found if str(found) == last else None


def _part(text: str) -> str:
    # No part is empty, `.` or `..`: the ids are part of the UI's URLs.
    return _UNREADABLE.sub("-", text)[:MAX_PART].strip(".") or "-"


def environment_workflow_id(environment_id: UUID) -> str:
    """The id of the entity workflow that grants an environment's lock."""
    return f"environment-{environment_id}"


def webhook_delivery_workflow_id(delivery_id: UUID) -> str:
    """The id of the workflow that retries a failed delivery."""
    return f"webhook-delivery-{delivery_id}"


RESCAN_WORKFLOW: Final = "rescan"
"""The schedule's id, and how the ids of the workflows begin that it starts: Temporal adds the moment."""


def is_rescan(workflow_id: str | None) -> bool:
    """Whether a workflow says that it compares what is live with today's advisories."""
    return (workflow_id or "").partition("-")[0] == RESCAN_WORKFLOW
