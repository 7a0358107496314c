"""Signatures by the API: under a person's action and under the start of an operation.

Anybody with access to Temporal can send updates and start workflows. Only signed ones are carried out. The signature
covers the operation, the action, the actor, the time, a nonce, and everything else in the payload.
"""

import hashlib
import json
from datetime import UTC
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.payload import Nothing, Payload
from contracts.policies import MUST_HAPPEN
from contracts.stubs import ActivityStub
from domain.lifecycle import OperationKind

# The name in `workflow.extern_functions` of the check of an action (`activities/signatures.py`).
CHECK_DECISION = "delivery.check_decision"

_LAYOUT = "delivery-engine statement 1"


class Signature(Payload):
    """Made by the API when it accepts a request. `value`: Ed25519 in base64; `nonce`: accepted once."""

    key_id: str = Field(max_length=64)
    signed_at: AwareDatetime
    nonce: UUID
    value: str = Field(default="", max_length=128)


class Signed(Payload):
    """Base of payloads that need authorization. None: from before signatures, or not from us."""

    signature: Signature | None = None


class StartClaim(Payload):
    """A workflow asks whether it may begin. `order`: its input as JSON, including the signature.

    `first_run_id`: the first run of the workflow; it stays the same when an operator resets the workflow.
    """

    workflow_id: str
    first_run_id: UUID
    kind: OperationKind
    order: dict[str, Any]


def start_of(kind: OperationKind) -> str:
    """The name of the action that is signed for the start of an operation."""
    return f"start {kind}"


def statement(workflow_id: str, asked: str, actor: str, payload: Signed, signature: Signature) -> bytes:
    """The bytes to sign, without `signature.value`.

    Fields that have their defaults are left out, so that a newer version's unused fields do not change the statement.
    """
    fields = payload.model_dump(mode="json", exclude={"signature"}, exclude_defaults=True)
    parts = [
        _LAYOUT,
        signature.key_id,
        workflow_id,
        asked,
        actor,
        signature.signed_at.astimezone(UTC).isoformat(),
        str(signature.nonce),
        hashlib.sha256(_text(fields)).hexdigest(),
    ]
    return _text(parts)


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


CHECK_START = ActivityStub("operations.check_start", StartClaim, Nothing, MUST_HAPPEN)
