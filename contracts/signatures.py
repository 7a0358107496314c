"""What the API signs: a decision of a person, the start of an operation.

Whoever reaches Temporal can send updates and start workflows; only what is signed is carried out. The signature covers
the operation, what is asked, who asks, when, a nonce, and everything else in the payload.
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

# What `workflow.extern_functions` calls the check of a decision (`activities/signatures.py`).
CHECK_DECISION = "delivery.check_decision"

_LAYOUT = "delivery-engine statement 1"


class Signature(Payload):
    """By the API, when it accepted what is asked. `value`: Ed25519 in base64; `nonce`: it counts once."""

    key_id: str = Field(max_length=64)
    signed_at: AwareDatetime
    nonce: UUID
    value: str = Field(default="", max_length=128)


class Signed(Payload):
    """Base of payloads that carry somebody's authority. None: from before there were signatures, or not from us."""

    signature: Signature | None = None


class StartClaim(Payload):
    """A workflow asks whether it may begin. `order`: its input as JSON, the signature included.

    `first_run_id`: of the workflow's runs; a run that an operator has reset has the same one.
    """

    workflow_id: str
    first_run_id: UUID
    kind: OperationKind
    order: dict[str, Any]


def start_of(kind: OperationKind) -> str:
    """What is asked by starting an operation."""
    return f"start {kind}"


def statement(workflow_id: str, asked: str, actor: str, payload: Signed, signature: Signature) -> bytes:
    """The bytes that are signed; `signature.value` is no part of them.

    Fields that have their defaults are left out, so that a new field of a newer version changes nothing while unused.
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
