"""Who calls an activity: a workflow that began as the API wanted, and nobody else who reaches Temporal.

Whoever does can run a worker of their own, and have a workflow there call our activities, or call one without any
workflow. An operation's activities answer to the one run that the record has (`StartActivities`).
"""

from collections import OrderedDict
from typing import Any, Final
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.failures import failure_of
from activities.records import operation_of
from activities.refusals import Refusal, Refusals
from contracts.names import OPERATION_WORKFLOWS, WorkflowName
from contracts.rollouts import CHECK_HOLDER, CHECK_WINDOW, STOP_RELEASE, StopRelease
from contracts.signatures import CHECK_START
from contracts.webhooks import ATTEMPT_WEBHOOK
from domain.errors import ConflictError, DeliveryError, ErrorCode
from storage.engine import Sessions, transaction
from storage.repositories.standing import StandingRepository

log = structlog.get_logger(__name__)

# Runs that were found in the record; most operations call some twenty activities.
KEPT: Final = 10_000
_OF_ENVIRONMENTS: Final = frozenset({CHECK_WINDOW.name, CHECK_HOLDER.name, STOP_RELEASE.name})


class CallerGuard(Interceptor):
    """Of a worker: each activity asks first who calls it."""

    def __init__(self, sessions: Sessions, refusals: Refusals) -> None:
        self._sessions = sessions
        self._refusals = refusals
        self._known: OrderedDict[UUID, None] = OrderedDict()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's
        """Before each."""
        return _Asking(next, self)

    async def check(self, info: activity.Info, given: ExecuteActivityInput) -> None:
        """Raise what refuses the call, unless it is one of ours.

        Raises:
            ApplicationError: ORCHESTRATION_LOST, it is nobody's that we know; retryable while PostgreSQL is away.
        """
        try:
            if info.workflow_type in OPERATION_WORKFLOWS:
                await self._check_operation(info)
            elif not _is_helper(info, given):
                self._refuse_stranger(info)
        except DeliveryError as error:
            raise failure_of(error) from error

    async def _check_operation(self, info: activity.Info) -> None:
        if info.activity_type == CHECK_START.name:
            return  # it is how a run gets into the record, and checks more than this
        operation_id = operation_of(info.workflow_id)
        run_id = UUID(info.workflow_run_id)
        if operation_id is None or not await self._is_the_run(operation_id, run_id):
            log.error("activity.refused", workflow_id=info.workflow_id, run_id=str(run_id), activity=info.activity_type)
            raise ConflictError(
                "the record has no such operation, or another run of its workflow carries it out",
                code=ErrorCode.ORCHESTRATION_LOST,
            )

    async def _is_the_run(self, operation_id: UUID, run_id: UUID) -> bool:
        if run_id in self._known:
            self._known.move_to_end(run_id)
            return True
        async with transaction(self._sessions) as session:
            known = await StandingRepository(session).run_of(operation_id)
        if known == run_id:
            self._known[run_id] = None
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return known in (run_id, None)

    def _refuse_stranger(self, info: activity.Info) -> None:
        why = "it was called by nobody of ours: without a workflow, or by another kind of workflow"
        self._refusals.add(Refusal(info.workflow_id or "", f"activity {info.activity_type}", "", why))
        raise ConflictError(why, code=ErrorCode.ORCHESTRATION_LOST)


def _is_helper(info: activity.Info, given: ExecuteActivityInput) -> bool:
    """Whether it is what the entity of an environment, or the workflow of a webhook, has to call."""
    if info.workflow_type == WorkflowName.WEBHOOK_DELIVERY:
        return info.activity_type == ATTEMPT_WEBHOOK.name
    if info.workflow_type != WorkflowName.ENVIRONMENT or info.activity_type not in _OF_ENVIRONMENTS:
        return False
    request = given.args[0] if given.args else None
    return not isinstance(request, StopRelease) or request.only_if_retired


class _Asking(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, guard: CallerGuard) -> None:  # noqa: A002 - the SDK's name
        super().__init__(next)
        self._guard = guard

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        await self._guard.check(activity.info(), input)
        return await super().execute_activity(input)
