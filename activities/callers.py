"""Activities refuse calls from workflows that the API did not start, since others may reach Temporal.

Another client of Temporal can run its own worker, whose workflow calls our activities, or start an activity without a
workflow. An operation's activities accept only the one run that is on record (`StartActivities`).

Only a run that was checked is recorded. An operation without a recorded run has not begun, ended before it began, or
has a forged history that claims the check. Operations that were under way when runs were first recorded are an
exception: the first run that calls for one of them is recorded as its run.
"""

from collections import OrderedDict
from typing import Any, Final, NoReturn
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.failures import failure_of
from activities.records import environment_of
from activities.refusals import Refusal, Refusals
from contracts.names import (
    OPERATION_WORKFLOWS,
    WorkflowName,
    environment_workflow_id,
    is_rescan,
    operation_of,
    webhook_delivery_workflow_id,
)
from contracts.rescans import RescanPage
from contracts.rollouts import HolderCheck, StopRelease, WindowQuery
from contracts.signatures import CHECK_START
from contracts.webhooks import WebhookAttempt
from domain.errors import ConflictError, DeliveryError, ErrorCode
from storage.engine import Sessions, transaction
from storage.repositories.standing import StandingRepository

log = structlog.get_logger(__name__)

# Cache of runs that are on record; most operations call some twenty activities.
KEPT: Final = 10_000
_STRANGER: Final = "it was called by nobody of ours: without a workflow, or by another kind of workflow"
_OTHER_RUN: Final = "another run of its workflow carries this operation out, or none has begun or may begin"


class CallerGuard(Interceptor):
    """Worker interceptor: checks the calling workflow before each activity."""

    def __init__(self, sessions: Sessions, refusals: Refusals) -> None:
        self._sessions = sessions
        self._refusals = refusals
        self._known: OrderedDict[tuple[UUID, UUID], None] = OrderedDict()  # operation and run

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's
        """Check before each activity."""
        return _Asking(next, self)

    async def check(self, info: activity.Info, given: ExecuteActivityInput) -> None:
        """Refuse the call unless the caller is one of our workflows.

        Raises:
            ApplicationError: ORCHESTRATION_LOST, the caller is not known; retryable while PostgreSQL is away.
        """
        try:
            if info.workflow_type in OPERATION_WORKFLOWS:
                await self._check_operation(info)
            elif not _is_helper(info, given.args[0] if given.args else None):
                self._refuse(info, _STRANGER)
        except DeliveryError as error:
            raise failure_of(error) from error

    async def _check_operation(self, info: activity.Info) -> None:
        if info.activity_type == CHECK_START.name:
            # This activity records the run. It is local: our own code in this worker calls it, never another one.
            if not info.is_local:
                self._refuse(info, _STRANGER)
            return
        operation_id, run_id = operation_of(info.workflow_id), UUID(info.workflow_run_id)
        is_the_run = await self._is_the_run(operation_id, info.workflow_id or "", run_id) if operation_id else None
        if is_the_run is None:
            log.error("activity.refused", workflow_id=info.workflow_id, run_id=str(run_id), activity=info.activity_type)
            raise ConflictError("the record has no such operation", code=ErrorCode.ORCHESTRATION_LOST)
        if not is_the_run:
            self._refuse(info, _OTHER_RUN)

    async def _is_the_run(self, operation_id: UUID, workflow_id: str, run_id: UUID) -> bool | None:
        """Whether it is the recorded run of the operation; None: there is no such operation, or not there."""
        one = (operation_id, run_id)
        if one in self._known:
            self._known.move_to_end(one)
            return True
        async with transaction(self._sessions) as session:
            standing = StandingRepository(session)
            kept = await standing.run_of(operation_id, workflow_id)
            if kept is None:
                return None
            if kept.run_id != run_id and not (kept.run_id is None and await standing.adopt(operation_id, run_id)):
                return False
        self._known[one] = None
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return True

    def _refuse(self, info: activity.Info, why: str) -> NoReturn:
        self._refusals.add(Refusal(info.workflow_id or "", f"activity {info.activity_type}", "", why))
        raise ConflictError(why, code=ErrorCode.ORCHESTRATION_LOST)


def _is_helper(info: activity.Info, request: Any) -> bool:
    """Whether an environment's entity, a webhook's workflow or a re-scan calls its own activity for itself."""
    if info.workflow_type == WorkflowName.WEBHOOK_DELIVERY:
        return isinstance(request, WebhookAttempt) and (
            info.workflow_id == webhook_delivery_workflow_id(request.delivery_id)
        )
    if info.workflow_type == WorkflowName.RESCAN:
        return isinstance(request, RescanPage) and is_rescan(info.workflow_id)
    if info.workflow_type != WorkflowName.ENVIRONMENT or environment_of(info.workflow_id) is None:
        return False
    match request:
        case WindowQuery():
            return info.workflow_id == environment_workflow_id(request.environment_id)
        case StopRelease():
            return request.only_if_retired
        case _:
            return isinstance(request, HolderCheck)


class _Asking(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, guard: CallerGuard) -> None:  # noqa: A002 - the SDK's name
        super().__init__(next)
        self._guard = guard

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        await self._guard.check(activity.info(), input)
        return await super().execute_activity(input)
