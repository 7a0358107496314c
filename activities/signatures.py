"""Whether what comes through Temporal is what the API accepted: its signature, and the record.

Decisions are checked by the validators of updates, which are never replayed: with today's code and today's keys, also
in workflows that are older than both. A start is checked by a local activity, whose answer stands in the history.
"""

from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

from temporalio.worker import Interceptor, WorkflowInboundInterceptor, WorkflowInterceptorClassInput

from activities.failures import translate_errors
from activities.refusals import Refusal, Refusals
from contracts.operations import ORDERS, AbortRequest, ActionRequest, Order
from contracts.payload import Nothing
from contracts.signatures import CHECK_DECISION, CHECK_START, Signed, StartClaim, start_of, statement
from contracts.stubs import implements
from domain.errors import ConflictError, DeliveryError, DependencyError, ErrorCode, ForbiddenError
from domain.lifecycle import OperationKind
from runtime.decision_keys import VerifyingKeys
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.repositories.standing import StandingRepository

# A decision waits as long as Temporal is away, but is not carried out when everybody has forgotten it.
VALID_FOR: Final = timedelta(days=7)
# A check takes about a millisecond; a workflow that is silent for two seconds counts as blocked.
THREADS: Final = 4
LIMIT_S: Final = 1.0


class Signatures:
    """Checks with the public keys; what is refused is reported to the operator.

    Args:
        keys: of the API, old ones included.
        refusals: where refused attempts are reported.
    """

    def __init__(self, keys: VerifyingKeys, refusals: Refusals) -> None:
        self._keys = keys
        self._refusals = refusals

    def decision_fault(
        self, workflow_id: str, action: str, request: ActionRequest | AbortRequest
    ) -> DeliveryError | None:
        """Why a decision is not to be carried out; None: it is what the API accepted."""
        fault = self._fault(workflow_id, action, request.actor, request)
        signature = request.signature
        if fault is None and signature and now() - signature.signed_at > VALID_FOR:
            fault = ForbiddenError(f"it was decided more than {VALID_FOR.days} days ago; decide again")
        return self.refused(workflow_id, action, request.actor, fault)

    def start_fault(self, workflow_id: str, kind: OperationKind, order: Order) -> DeliveryError | None:
        """Why an operation is not to begin; None: it is what the API accepted."""
        actor, operation_id = order.place.requested_by, order.place.operation_id
        fault: DeliveryError | None = None
        if workflow_id != order.place.workflow_id:
            fault = ForbiddenError(f"it is the start of operation {operation_id} under another workflow id")
        fault = fault or self._fault(workflow_id, start_of(kind), actor, order)
        return self.refused(workflow_id, start_of(kind), actor, fault)

    def _fault(self, workflow_id: str, asked: str, actor: str, payload: Signed) -> DeliveryError | None:
        signature = payload.signature
        if signature is None:
            return ForbiddenError("it does not carry the API's signature; ask the API")
        if not self._keys.knows(signature.key_id):
            # Also while keys are rotated in the wrong order: the caller tries again.
            return DependencyError(
                f"it is signed with key {signature.key_id}, which is of none of this worker's DELIVERY_ENCRYPTION_KEYS"
            )
        text = statement(workflow_id, asked, actor, payload, signature)
        if not self._keys.verify(signature.key_id, text, signature.value):
            return ForbiddenError("its signature is of something else: it was changed, or moved from elsewhere")
        return None

    def refused(self, workflow_id: str, asked: str, actor: str, fault: DeliveryError | None) -> DeliveryError | None:
        """The same error, reported to the operator."""
        if fault is not None:
            self._refusals.add(Refusal(workflow_id, asked, actor, fault.message))
        return fault


class StartActivities:
    """The first thing an operation's workflow does."""

    def __init__(self, sessions: Sessions, signatures: Signatures) -> None:
        self._sessions = sessions
        self._signatures = signatures

    @implements(CHECK_START)
    @translate_errors
    async def check(self, claim: StartClaim) -> Nothing:
        """The API signed this start, the record has it, and no other run has begun with it.

        Raises:
            ForbiddenError: it is not what the API accepted.
            ConflictError: ORCHESTRATION_LOST, the record is finished or not there, or another run has begun.
            DependencyError: it is signed with a key that we do not have (any more); tried again until we have.
        """
        order = ORDERS[claim.kind].model_validate(claim.order)
        async with transaction(self._sessions) as session:
            kept = await StandingRepository(session).take_start(order.place.operation_id, claim.first_run_id)
            if fault := self._fault(claim, order, kept):
                raise fault  # which undoes the taking
        return Nothing()

    def _fault(self, claim: StartClaim, order: Order, kept: dict[str, Any] | None) -> DeliveryError | None:
        asked, actor = start_of(claim.kind), order.place.requested_by
        if kept is None:
            why = "the record of this operation is finished, not there, or was begun by another run; nothing is done"
            fault: DeliveryError = ConflictError(why, code=ErrorCode.ORCHESTRATION_LOST)
            return self._signatures.refused(claim.workflow_id, asked, actor, fault)
        record = ORDERS[claim.kind].model_validate(kept)
        if record != order:
            fault = ForbiddenError("it is not what the record of this operation has; ask the API")
            return self._signatures.refused(claim.workflow_id, asked, actor, fault)
        if record.signature is None and claim.workflow_id == record.place.workflow_id:
            return None  # accepted before there were signatures, and just as the record has it
        return self._signatures.start_fault(claim.workflow_id, claim.kind, order)


class DecisionGuard(Interceptor):
    """Gives workflows the check of decisions, which looks at the clock and at keys, as they must not.

    It runs in a thread of its own: in the one of a workflow the sandbox is in force, for what C and Rust import while
    they raise an exception, too, and a signature that does not verify ended the whole process.
    """

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="signatures")

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor] | None:
        """No interceptor: a function that validators call."""
        functions: MutableMapping[str, Callable[..., Any]] = input.unsafe_extern_functions
        functions[CHECK_DECISION] = self._decision_fault
        return None

    def _decision_fault(
        self, workflow_id: str, action: str, request: ActionRequest | AbortRequest
    ) -> DeliveryError | None:
        answer = self._threads.submit(self._signatures.decision_fault, workflow_id, action, request)
        try:
            return answer.result(LIMIT_S)
        except TimeoutError:
            return DependencyError("this worker is too busy to check the signature now; try again")
