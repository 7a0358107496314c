"""Whether a rollout holds the environment's lock by the record, whatever grant its workflow heard.

The entity of the environment grants the lock by signals, which every client of Temporal can send. So the first
thing that a rollout does with it asks the rows: two never move one environment, and a window holds who is held.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from contracts.operations import OperationContext, options_of
from domain.environment_settings import EnvironmentSettings
from domain.errors import ConflictError, DependencyError, ErrorCode
from domain.windows import window_state
from runtime.ids import now
from storage.models import Environment
from storage.repositories.standing import StandingRepository

# A lock that was given out right before a window closed may be used on a busy machine a little later.
LATE: Final = timedelta(minutes=5)
# By then, a good minute, the operation of a holder that was lost has been found and ended
# (`reconcilers/orphaned_operations.py`). Nobody waits longer: an activity that opens a release cannot be stopped, and
# a rollback may be waiting for the lock.
MOST_ATTEMPTS: Final = 13


async def check_turn(session: AsyncSession, environment: Environment, place: OperationContext) -> None:
    """Check that no other operation changes the environment, whose row is locked.

    Raises:
        DependencyError: a deployment is being rolled out there; tried again in case it was lost.
        ConflictError: INVALID_STATE, the same after all these attempts.
    """
    holder = environment.holder_deployment_id
    if holder is None or holder == place.deployment_id:
        return
    if not await StandingRepository(session).rolls_out(holder):
        return
    why = f"{place.environment} is held by deployment {holder}, which is under way"
    details = {"holder_deployment_id": str(holder)}
    if activity.info().attempt < MOST_ATTEMPTS:
        raise DependencyError(why, details=details)
    raise ConflictError(f"{why}; try again when that is over", code=ErrorCode.INVALID_STATE, details=details)


async def check_window(session: AsyncSession, environment: Environment, place: OperationContext) -> None:
    """The environment's windows let this deployment pass, or its order as it was accepted goes past them.

    Raises:
        ConflictError: INVALID_STATE, they hold it.
    """
    windows = EnvironmentSettings.stored(environment.settings).windows
    if not windows:
        return
    state, before = (window_state(windows, moment) for moment in (now(), now() - LATE))
    if state.open or before.open:
        return
    if options_of(await StandingRepository(session).order_of(place.operation_id)).override_freeze:
        return
    raise ConflictError(
        f"{place.environment} is held by {state.reason} since its lock was given out; deploy again when it is open",
        code=ErrorCode.INVALID_STATE,
        details={"next_open": state.next_open.isoformat() if state.next_open else None},
    )
