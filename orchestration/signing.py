"""The API's signature: created with the row, sent to Temporal, verified in the workflow."""

from functools import lru_cache
from typing import TypeVar

from contracts.operations import AbortRequest, ActionRequest, Order
from contracts.signatures import Signature, Signed, start_of, statement
from domain.approvals import Action
from domain.lifecycle import OperationKind
from runtime.decision_keys import SigningKey, load_signing_key
from runtime.ids import new_id, now
from runtime.settings import Settings

Asked = TypeVar("Asked", bound=AbortRequest | ActionRequest)
Ordered = TypeVar("Ordered", bound=Order)
Payload = TypeVar("Payload", bound=Signed)


class Signer:
    """Signs with the newest key."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def decision(self, workflow_id: str, action: Action, request: Asked) -> Asked:
        """An action of `request.actor` on an operation, signed for its workflow."""
        return self._signed(workflow_id, action, request.actor, request)

    def order(self, kind: OperationKind, order: Ordered) -> Ordered:
        """The input of an operation requested by `place.requested_by`, signed."""
        return self._signed(order.place.workflow_id, start_of(kind), order.place.requested_by, order)

    def _signed(self, workflow_id: str, asked: str, actor: str, payload: Payload) -> Payload:
        bare = Signature(key_id=self._key.id, signed_at=now(), nonce=new_id())
        text = statement(workflow_id, asked, actor, payload, bare)
        return payload.model_copy(update={"signature": bare.model_copy(update={"value": self._key.sign(text)})})


@lru_cache(maxsize=8)
def signer_of(settings: Settings) -> Signer:
    """A signer with the newest encryption key of the settings.

    Raises:
        DependencyError: there is no key.
    """
    return Signer(load_signing_key(settings))
