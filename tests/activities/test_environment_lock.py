"""A rollout's turn is its own by the record, whatever its workflow and the entity of the environment were told.

Whoever reaches Temporal can grant a turn, or give one back in somebody's name, by a signal.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.environment_lock import LATE, MOST_ATTEMPTS
from contracts.rollouts import OpenedRelease, OpenRelease, ReopenRelease, StopRelease
from domain.delivery_spec import ServiceSpec
from domain.lifecycle import OperationStatus, ReleaseState
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import Deployment, Environment, Operation, Release
from tests.activities.conftest import History, MakeHistory, release_activities

Open = Callable[..., Awaitable[OpenedRelease]]


@pytest.fixture
async def place(history: MakeHistory) -> History:
    return await history(2)


async def deployment(sessions: Sessions, found: History, **order: object) -> UUID:
    """One that is on its way, with its operation."""
    async with transaction(sessions) as session:
        like = await session.get_one(Deployment, found.releases[0])
        columns = {c.key: getattr(like, c.key) for c in like.__table__.columns if not c.key.endswith("_at")}
        operation_id, deployment_id = new_id(), new_id()
        session.add(
            Operation(
                id=operation_id,
                organization_id=found.organization_id,
                project_id=found.project_id,
                kind="deploy",
                status=OperationStatus.IN_PROGRESS,
                resource_id=deployment_id,
                requested_by="ann",
                input=dict(order),
            )
        )
        await session.flush()
        changes = {"id": deployment_id, "operation_id": operation_id, "status": "in_progress"}
        session.add(Deployment(**{**columns, **changes}))
    return deployment_id


@pytest.fixture
def open_release(sessions: Sessions) -> Open:
    """Opens the release of a deployment, which is the first thing that a rollout does with its turn."""

    async def run(found: History, deployment_id: UUID, attempt: int = 1) -> OpenedRelease:
        async with transaction(sessions) as session:
            operation_id = (await session.get_one(Deployment, deployment_id)).operation_id
        place = found.place(deployment_id).model_copy(update={"operation_id": operation_id})
        request = OpenRelease(
            place=place, build_id=found.builds[0], artifact_digest="sha256:00", service=ServiceSpec(command="serve")
        )
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt)
        opened: OpenedRelease = await environment.run(release_activities(sessions, None).open, request)
        return opened

    return run


async def refused(work: Awaitable[object]) -> ApplicationError:
    with pytest.raises(ApplicationError) as fault:
        await work
    return fault.value


async def holder(sessions: Sessions, found: History) -> UUID | None:
    async with transaction(sessions) as session:
        return (await session.get_one(Environment, found.environment_id)).holder_deployment_id


async def test_two_rollouts_never_move_one_environment(place: History, sessions: Sessions, open_release: Open) -> None:
    first, second = await deployment(sessions, place), await deployment(sessions, place)
    await open_release(place, first)
    fault = await refused(open_release(place, second))
    assert (fault.type, fault.non_retryable) == ("SERVICE_UNAVAILABLE", False)
    assert str(first) in fault.message
    fault = await refused(open_release(place, second, MOST_ATTEMPTS))  # it could not be stopped meanwhile
    assert (fault.type, fault.non_retryable) == ("INVALID_STATE", True)
    assert await holder(sessions, place) == first
    await open_release(place, first)  # again, after a crash


async def test_nor_does_a_rollback_beside_a_rollout(place: History, sessions: Sessions, open_release: Open) -> None:
    await open_release(place, await deployment(sessions, place))
    request = ReopenRelease(place=place.place(place.releases[1]))
    fault = await refused(ActivityEnvironment().run(release_activities(sessions, None).reopen, request))
    assert (fault.type, fault.non_retryable) == ("SERVICE_UNAVAILABLE", False)


@pytest.mark.parametrize("how", ["finished", "taken back", "gone"])
async def test_a_holder_that_moves_nothing_any_more_holds_nobody(
    place: History, sessions: Sessions, open_release: Open, how: str
) -> None:
    """Its workflow was lost before it gave the turn back, or only clears up behind a rollback."""
    first, second = await deployment(sessions, place), await deployment(sessions, place)
    await open_release(place, first)
    async with transaction(sessions) as session:
        row = await session.get_one(Deployment, first)
        if how == "finished":
            (await session.get_one(Operation, row.operation_id)).status = OperationStatus.FAILED
        elif how == "taken back":
            row.rolled_back_to_build_id = place.builds[0]
        else:
            (await session.get_one(Environment, place.environment_id)).holder_deployment_id = new_id()
    await open_release(place, second)
    assert await holder(sessions, place) == second


async def freeze(sessions: Sessions, found: History, since: timedelta, hours: int = 2) -> None:
    """A window that closed so long ago, by the clock of UTC."""
    start = (now() - since).replace(tzinfo=None, microsecond=0)
    window = {"name": "xmas", "kind": "deny", "time_zone": "UTC", "start": start.isoformat(), "duration": f"PT{hours}H"}
    async with transaction(sessions) as session:
        (await session.get_one(Environment, found.environment_id)).settings = {"windows": [window]}


async def test_a_grant_lets_nobody_into_a_freeze(place: History, sessions: Sessions, open_release: Open) -> None:
    await freeze(sessions, place, LATE + timedelta(minutes=1))
    wanted = await deployment(sessions, place)
    fault = await refused(open_release(place, wanted))
    assert (fault.type, fault.non_retryable) == ("INVALID_STATE", True)
    assert "the freeze window 'xmas'" in fault.message
    assert await holder(sessions, place) is None


@pytest.mark.parametrize(
    "order", [{"options": {"override_freeze": True}}, {"override_freeze": True}], ids=["order", "of an older release"]
)
async def test_what_may_go_past_a_freeze_does(
    place: History, sessions: Sessions, open_release: Open, order: dict[str, object]
) -> None:
    """By its order, as it was accepted."""
    await freeze(sessions, place, timedelta(hours=1))
    wanted = await deployment(sessions, place, **order)
    await open_release(place, wanted)
    assert await holder(sessions, place) == wanted


async def test_a_lock_may_be_used_a_moment_after_a_window_closed(
    place: History, sessions: Sessions, open_release: Open
) -> None:
    await freeze(sessions, place, timedelta(seconds=1))
    wanted = await deployment(sessions, place)
    await open_release(place, wanted)
    assert await holder(sessions, place) == wanted
    await freeze(sessions, place, timedelta(hours=1))
    await open_release(place, wanted)  # again, after a crash that took long
    assert await holder(sessions, place) == wanted


async def test_no_message_has_a_retired_release_stopped_before_its_time(place: History, sessions: Sessions) -> None:
    """It is the way back: without it a rollback has to start instances first."""
    kept = place.releases[0]
    request = StopRelease(release_id=kept, only_if_retired=True)
    await ActivityEnvironment().run(release_activities(sessions, None).stop, request)
    async with transaction(sessions) as session:
        assert (await session.get_one(Release, kept)).state == ReleaseState.RETIRED


async def test_one_whose_time_has_come_is_stopped(place: History, sessions: Sessions) -> None:
    class Stopper:
        stopped: tuple[UUID, int] | None = None

        async def stop(self, release_id: UUID, *, keep: int) -> None:
            self.stopped = (release_id, keep)

    kept, stopper = place.releases[0], Stopper()
    async with transaction(sessions) as session:
        (await session.get_one(Release, kept)).stop_after = now()
    request = StopRelease(release_id=kept, only_if_retired=True)
    await ActivityEnvironment().run(release_activities(sessions, stopper).stop, request)
    assert stopper.stopped == (kept, 0)
