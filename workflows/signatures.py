"""Whether the API accepted what reaches a workflow: its start, and what people decide about it.

Every client of Temporal can start a workflow and send an update. Only those with the API's signature count. Decisions
are checked by validators with today's code and keys, also for workflows that began before there were any; nothing of
that is replayed.
"""

from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.operations import AbortRequest, ActionRequest, Order
from contracts.signatures import CHECK_DECISION, CHECK_START, StartClaim
from domain.approvals import Action
from domain.errors import ConflictError, DeliveryError, ErrorCode, ForbiddenError
from domain.lifecycle import OperationKind
from workflows.activity_calls import run_to_completion, to_operation_error

# Older histories: the workflow did not check that the API had accepted the start.
SIGNED_STARTS = "starts-are-signed"


async def check_start(kind: OperationKind, order: Order) -> bool:
    """Nothing is recorded or moved before it is known that the API accepted this start. False: it is older than that.

    Raises:
        ApplicationError: it did not; what the record has of the operation stays as it is.
    """
    if not workflow.patched(SIGNED_STARTS):
        return False
    info = workflow.info()
    claim = StartClaim(
        workflow_id=info.workflow_id,
        first_run_id=UUID(info.first_execution_run_id),
        kind=kind,
        order=order.model_dump(mode="json"),
    )
    try:
        await run_to_completion(_check(claim))
    except ActivityError as fault:
        why = to_operation_error(fault)
        raise ApplicationError(f"refused: {why.message}", type=why.code, non_retryable=True) from fault
    return True


async def _check(claim: StartClaim) -> None:
    policy = CHECK_START.policy
    await workflow.execute_local_activity(
        CHECK_START.name,
        claim,
        result_type=CHECK_START.result,
        start_to_close_timeout=policy.start_to_close,
        retry_policy=policy.retry,
        summary="did the API accept this?",
    )


class DecisionSignatures:
    """Every decision carries one, and counts once."""

    def __init__(self) -> None:
        self._nonces: set[UUID] = set()  # of the decisions that were carried out

    def check(self, action: Action, request: ActionRequest | AbortRequest) -> None:
        """Raises `ForbiddenError` without a good signature, `ConflictError` for a decision that was sent again."""
        check = workflow.extern_functions().get(CHECK_DECISION)
        if check is None:
            raise ForbiddenError("this worker cannot check signatures, so it carries no decision out")
        fault: DeliveryError | None = check(workflow.info().workflow_id, str(action), request)
        if fault is not None:
            raise fault
        if request.signature and request.signature.nonce in self._nonces:
            raise ConflictError("this decision was carried out already", code=ErrorCode.INVALID_STATE)

    def remember(self, request: ActionRequest | AbortRequest) -> None:
        """The first thing that a handler does."""
        if request.signature:
            self._nonces.add(request.signature.nonce)
