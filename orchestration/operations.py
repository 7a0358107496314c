"""Operations from outside: start them, ask for their progress, stop them.

`workflow_id` is what the operation's row has, not made of its id: old ones have other ids than new ones.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import (
    QueryRejectCondition,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError

from contracts.names import (
    CONTROL_QUEUE,
    DELIVERY_STATUS,
    ENVIRONMENT,
    INPUT_HASH_MEMO,
    OPERATION_KIND,
    ORGANIZATION,
    PROGRESS_QUERY,
    PROJECT,
    STANDING_QUERY,
    SignalName,
    WorkflowName,
    environment_workflow_id,
)
from contracts.operations import (
    ORDERS,
    AbortRequest,
    ActionRequest,
    OperationContext,
    Order,
    Progress,
    Standing,
)
from contracts.rollouts import SettingsChanged
from contracts.signatures import Signed
from domain.approvals import UNKNOWN, Action
from domain.errors import ConflictError, DependencyError, ErrorCode, ForbiddenError
from domain.lifecycle import OperationKind, OperationStatus
from orchestration.connection import Connection, answering_within, is_missing
from orchestration.signing import signer_of
from orchestration.ui_summaries import details_of, summary_of
from runtime.settings import Settings
from runtime.single_flight import SharedAnswers

Answer = TypeVar("Answer", Progress, Standing)

START_LIMIT_S = 2.0
QUERY_LIMIT_S = 1.5
UPDATE_LIMIT_S = 4.0
CHECK_LIMIT_S = 1.0
LIST_LIMIT_S = 10.0
PAGE = 500
SHARED_FOR_S = 0.25
# How the server calls what a workflow had begun to carry out when it was closed.
_CUT_OFF = "AcceptedUpdateCompletedWorkflow"

_NAMES: Mapping[OperationKind, WorkflowName] = {
    OperationKind.BUILD_AND_DEPLOY: WorkflowName.BUILD_AND_DEPLOY,
    OperationKind.DEPLOY: WorkflowName.DEPLOY,
    OperationKind.ROLLBACK: WorkflowName.ROLLBACK,
}


class Operations:
    """The API's and the relay's way to operation workflows. Safe to share between tasks."""

    def __init__(self, settings: Settings, connection: Connection | None = None) -> None:
        self._settings = settings
        self._connection = connection or Connection(settings)
        self._answers: SharedAnswers[str, Progress | None] = SharedAnswers(self._query, keep_s=SHARED_FOR_S)

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        """Start an operation's workflow; one that was started before stays as it is.

        Raises:
            DependencyError: Temporal does not answer; whether it was started is not known, starting again is safe.
        """
        order = ORDERS[kind].model_validate(payload)
        digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
        async with answering_within(START_LIMIT_S):
            client = await self._connection.client()
            await _start(client, kind, order, digest)

    async def progress(self, workflow_id: str) -> Progress | None:
        """Where a running operation is; None when nobody can tell within 1.5 s."""
        return await self._answers.get(workflow_id)

    async def standing(self, workflow_id: str) -> Standing | None:
        """Which versions of its progress a running operation knows; None when nobody can tell within 1.5 s."""
        return await self._ask(workflow_id, STANDING_QUERY, Standing)

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        """Stop a running operation.

        Raises:
            ConflictError: it is finished, past its final switch, or being stopped already.
            DependencyError: Temporal or its workers do not answer.
        """
        # The same person's same words are the same abort; somebody else's is refused, as it is being stopped already.
        words = hashlib.sha256(f"{request.actor}\0{request.reason}".encode()).hexdigest()[:32]
        await self._update(workflow_id, Action.ABORT, request, key=f"abort-{words}")

    async def decide(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        """Tell a rollout what somebody decided; the same key twice is the same decision.

        Raises:
            ConflictError: INVALID_STATE, the message names the state and what is allowed in it.
            ForbiddenError: this person may not (four eyes).
            DependencyError: Temporal or its workers do not answer.
        """
        named = hashlib.sha256(key.encode()).hexdigest()[:32]
        await self._update(workflow_id, action, request, key=f"{action}-{named}")

    async def _update(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        if request.signature is None:  # kept before decisions were signed
            request = signer_of(self._settings).decision(workflow_id, action, request)
        async with answering_within(UPDATE_LIMIT_S):
            client = await self._connection.client()
            await _execute(client.get_workflow_handle(workflow_id), action, request, key)

    async def tell_environment(self, signal: SignalName, payload: Mapping[str, Any]) -> None:
        """Tell an environment's entity that its settings changed; one that was never asked for a turn need not know.

        Raises:
            DependencyError: Temporal does not answer.
        """
        change = SettingsChanged.model_validate(payload)
        async with answering_within(START_LIMIT_S):
            client = await self._connection.client()
            try:
                await client.get_workflow_handle(environment_workflow_id(change.environment_id)).signal(signal, change)
            except RPCError as error:
                if not is_missing(error):
                    raise

    async def is_running(self, workflow_id: str) -> bool:
        """Whether the operation's workflow exists and is not closed; raises `DependencyError` when nobody knows."""
        async with answering_within(START_LIMIT_S):
            client = await self._connection.client()
            try:
                seen = await client.get_workflow_handle(workflow_id).describe()
            except RPCError as error:
                if is_missing(error):
                    return False
                raise
            return seen.status is WorkflowExecutionStatus.RUNNING

    async def open_workflows(self, names: Collection[WorkflowName]) -> AsyncIterator[Sequence[str]]:
        """Ids of all workflows of these types that are not closed, by page; one that began just now may be missing.

        Raises:
            DependencyError: Temporal does not answer.
        """
        types = ", ".join(f"'{name}'" for name in names)
        query = f"ExecutionStatus = 'Running' AND WorkflowType IN ({types})"
        async with answering_within(START_LIMIT_S):
            client = await self._connection.client()
        listing = client.list_workflows(query, page_size=PAGE)
        while True:
            async with answering_within(LIST_LIMIT_S):
                await listing.fetch_next_page()
            page = listing.current_page or ()
            yield [one.id for one in page]
            if not listing.next_page_token:
                return

    async def terminate(self, workflow_id: str, reason: str) -> None:
        """End a workflow that nobody wants any more, at once; one that is closed already stays as it is.

        Raises:
            DependencyError: Temporal does not answer.
        """
        async with answering_within(START_LIMIT_S):
            client = await self._connection.client()
            try:
                await client.get_workflow_handle(workflow_id).terminate(reason=reason)
            except RPCError as error:
                if not is_missing(error):
                    raise

    async def check(self) -> None:
        """Ask whether Temporal serves; raises `DependencyError` when it does not say so within a second."""
        await self._connection.check(CHECK_LIMIT_S)

    async def _query(self, workflow_id: str) -> Progress | None:
        return await self._ask(workflow_id, PROGRESS_QUERY, Progress)

    async def _ask(self, workflow_id: str, query: str, model: type[Answer]) -> Answer | None:
        try:
            async with answering_within(QUERY_LIMIT_S):
                client = await self._connection.client()
                handle = client.get_workflow_handle(workflow_id)
                return await _ask(handle, query, model)
        except (DependencyError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None


def _refusal(error: WorkflowUpdateFailedError) -> ConflictError | ForbiddenError | DependencyError:
    """A validator's no, as the error it was in the workflow."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == _CUT_OFF:
        return _unknown("the operation was ended by force while it carried this out")
    if not isinstance(cause, ApplicationError):
        return ConflictError("that is not possible now", code=ErrorCode.INVALID_STATE)
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    if cause.type == ErrorCode.SERVICE_UNAVAILABLE:
        return DependencyError(cause.message)  # a worker without the key that it was signed with
    if cause.type == ErrorCode.AUTHORIZATION_DENIED:
        return ForbiddenError(cause.message, details=details)
    return ConflictError(cause.message, code=ErrorCode.INVALID_STATE, details=details)


async def _execute(handle: WorkflowHandle[Any, Any], name: str, request: Signed, key: str) -> None:
    try:
        await handle.execute_update(name, request, id=key)
    except WorkflowUpdateFailedError as error:
        raise _refusal(error) from error
    except RPCError as error:
        if not is_missing(error):
            raise
        if await _is_gone(handle):
            raise _unknown("the workflow engine does not know this operation (any more)") from error
        # Closed, and never told: what a workflow accepted it answers in the same way when it is closed.
        raise ConflictError("the operation is not running", code=ErrorCode.INVALID_STATE) from error


def _unknown(why: str) -> ConflictError:
    """Nobody can tell any more whether it was carried out: it is said so, and not called refused."""
    return ConflictError(
        f"{why}; the deployment shows what came of it", code=ErrorCode.INVALID_STATE, details={"state": UNKNOWN}
    )


async def _is_gone(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether the server has no trace of the workflow, not even a closed one."""
    try:
        await handle.describe()
    except RPCError as error:
        if is_missing(error):
            return True
        raise
    return False


async def _ask(handle: WorkflowHandle[Any, Any], query: str, model: type[Answer]) -> Answer | None:
    try:
        seen: Answer = await handle.query(query, result_type=model, reject_condition=QueryRejectCondition.NOT_OPEN)
    except RPCError as error:
        if is_missing(error):
            return None  # nobody has started it yet
        raise
    return seen


async def _start(client: Client, kind: OperationKind, order: Order, digest: str) -> None:
    place = order.place
    try:
        await client.start_workflow(
            _NAMES[kind],
            order,
            id=place.workflow_id,
            task_queue=CONTROL_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={INPUT_HASH_MEMO: digest},
            search_attributes=_attributes(place, kind),
            static_summary=summary_of(order),
            static_details=details_of(order),
        )
    except WorkflowAlreadyStartedError:
        return


def _attributes(place: OperationContext, kind: OperationKind) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(ORGANIZATION, place.organization_slug),
            SearchAttributePair(PROJECT, place.project_slug),
            SearchAttributePair(ENVIRONMENT, place.environment),
            SearchAttributePair(OPERATION_KIND, kind),
            SearchAttributePair(DELIVERY_STATUS, OperationStatus.PENDING),
        ]
    )
