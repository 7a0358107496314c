"""Tests that speak to workflows as the API does: what they start and decide is signed on its way, with a key of theirs.

The same interceptor gives the workers of such a client the check. A stranger is a client without it.
"""

from typing import Any

from temporalio.client import Interceptor as ClientInterceptor
from temporalio.client import OutboundInterceptor, StartWorkflowInput, StartWorkflowUpdateInput

from activities.refusals import Refusals
from activities.signatures import DecisionGuard, Signatures
from contracts.operations import AbortRequest, ActionRequest, BuildAndDeployInput, DeployInput, RollbackInput
from domain.approvals import Action
from domain.lifecycle import OperationKind
from orchestration.signing import Signer
from runtime.decision_keys import SigningKey, VerifyingKeys

KEY = bytes(range(32))
SIGNER = Signer(SigningKey(KEY))
REFUSALS = Refusals()
SIGNATURES = Signatures(VerifyingKeys([KEY]), REFUSALS)
KINDS: dict[type, OperationKind] = {
    BuildAndDeployInput: OperationKind.BUILD_AND_DEPLOY,
    DeployInput: OperationKind.DEPLOY,
    RollbackInput: OperationKind.ROLLBACK,
}


class AsTheApi(DecisionGuard, ClientInterceptor):
    """Signs orders and decisions that are not signed yet."""

    def __init__(self) -> None:
        super().__init__(SIGNATURES)

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        return _Signing(next)


class _Signing(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> Any:  # noqa: A002 - the SDK's name
        input.args = [_signed_order(one) for one in input.args]
        return await super().start_workflow(input)

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> Any:  # noqa: A002 - the SDK's name
        input.args = [_signed_decision(input.id, input.update, one) for one in input.args]
        return await super().start_workflow_update(input)


def _signed_order(given: Any) -> Any:
    kind = KINDS.get(type(given))
    return SIGNER.order(kind, given) if kind and given.signature is None else given


def _signed_decision(workflow_id: str, update: str, given: Any) -> Any:
    if not isinstance(given, ActionRequest | AbortRequest) or given.signature is not None:
        return given
    return SIGNER.decision(workflow_id, Action(update), given)
