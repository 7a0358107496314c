"""Operations from outside their workflows: start, query progress, decide, stop.

`workflow_id` is read from the operation's row and not derived from its id: older operations have other ids.
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
# The server's error type for an update that was running when its workflow was closed.
_CUT_OFF = "AcceptedUpdateCompletedWorkflow"

_NAMES: Mapping[OperationKind, WorkflowName] = {
    OperationKind.BUILD_AND_DEPLOY: WorkflowName.BUILD_AND_DEPLOY,
    OperationKind.DEPLOY: WorkflowName.DEPLOY,
    OperationKind.ROLLBACK: WorkflowName.ROLLBACK,
}


class Operations:
    """The client of the API and of the relay for operation workflows. Safe to share between tasks."""

    def __init__(self, settings: Settings, connection: Connection | None = None) -> None:
        self._settings = settings
        self._connection = connection or Connection(settings)
        self._answers: SharedAnswers[str, Progress | None] = SharedAnswers(self._query, keep_s=SHARED_FOR_S)

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        """Start an operation's workflow. Does nothing if it was started before.

        Raises:
            DependencyError: Temporal does not answer. The workflow may have been started; starting it again is safe.
        """
        order = ORDERS[kind].model_validate(payload)
        digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
        async with answering_within(START_LIMIT_S):
            client = await self._connection.client()
            await _start(client, kind, order, digest)

    async def progress(self, workflow_id: str) -> Progress | None:
        """The progress of a running operation; None if it is not known within 1.5 s."""
        return await self._answers.get(workflow_id)

    async def standing(self, workflow_id: str) -> Standing | None:
        """The progress versions that a running operation knows; None if they are not known within 1.5 s."""
        return await self._ask(workflow_id, STANDING_QUERY, Standing)

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        """Stop a running operation.

        Raises:
            ConflictError: the operation has finished, is past its final switch, or is being stopped already.
            DependencyError: Temporal or its workers do not answer.
        """
        # A repeat by the same person with the same words is the same abort. Another person's is refused, as the
        # operation is being stopped already.
        words = hashlib.sha256(f"{request.actor}\0{request.reason}".encode()).hexdigest()[:32]
        await self._update(workflow_id, Action.ABORT, request, key=f"abort-{words}")

    async def decide(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        """Send a person's action to a rollout. Idempotent by its key.

        Raises:
            ConflictError: INVALID_STATE, the message names the state and the actions allowed in it.
            ForbiddenError: four eyes: this person may not decide.
            DependencyError: Temporal or its workers do not answer.
        """
        named = hashlib.sha256(key.encode()).hexdigest()[:32]
        await self._update(workflow_id, action, request, key=f"{action}-{named}")

    async def _update(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        if request.signature is None:  # stored before actions were signed
            request = signer_of(self._settings).decision(workflow_id, action, request)
        async with answering_within(UPDATE_LIMIT_S):
            client = await self._connection.client()
            await _execute(client.get_workflow_handle(workflow_id), action, request, key)

    async def tell_environment(self, signal: SignalName, payload: Mapping[str, Any]) -> None:
        """Signal an environment's workflow that the settings changed. If it was never started, it need not know.

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
        """Whether the operation's workflow is open; raises `DependencyError` if that cannot be determined."""
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
        """Ids of all open workflows of these types, by page. One that started just now may be missing.

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
        """Terminate a workflow at once. Does nothing if it is closed already.

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
        """Check that Temporal is serving; raises `DependencyError` if it does not confirm that within a second."""
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
    """A validator's rejection, as the error it was in the workflow."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == _CUT_OFF:
        return _unknown("the operation was ended by force while it carried this out")
    if not isinstance(cause, ApplicationError):
        return ConflictError("that is not possible now", code=ErrorCode.INVALID_STATE)
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    if cause.type == ErrorCode.SERVICE_UNAVAILABLE:
        return DependencyError(cause.message)  # a worker without the key of this signature
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
        # Closed before it received the update: an update that a workflow accepted is answered in the same way after
        # closing.
        raise ConflictError("the operation is not running", code=ErrorCode.INVALID_STATE) from error


def _unknown(why: str) -> ConflictError:
    """The outcome cannot be determined any more; this is reported as unknown and not as a refusal."""
    return ConflictError(
        f"{why}; the deployment shows what came of it", code=ErrorCode.INVALID_STATE, details={"state": UNKNOWN}
    )


async def _is_gone(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether the server has no record of the workflow, not even of a closed one."""
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
            return None  # not started yet
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
