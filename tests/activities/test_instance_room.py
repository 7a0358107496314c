"""The instances of an organization have so much of the machine, all together; other organizations do not notice."""

import asyncio

import pytest
from sqlalchemy import select, update

from activities.instance_room import InstanceRoom
from domain.ceilings import Ceiling
from domain.errors import ErrorCode, TerminalError
from domain.shares import Share
from storage.engine import Sessions, transaction
from storage.models import Instance, Release
from storage.repositories.releases import InstanceRepository
from tests.activities.conftest import History, MakeHistory

CEILING = Ceiling(memory_mb=1000, processes=100, disk_mb=5000)
PLENTY = Share(1000, 10**6, 10**6)


async def described(sessions: Sessions, found: History, processes: object = None, **service: object) -> None:
    """None of them has been good yet."""
    async with transaction(sessions) as session:
        values = {"service": {"command": "true", **service}, "processes": processes or {}, "was_healthy": False}
        await session.execute(update(Release).where(Release.id.in_(found.releases)).values(values))


async def add(sessions: Sessions, room: InstanceRoom, found: History, number: int, index: int) -> None:
    """As an activity does: judged and written down in one transaction."""
    async with transaction(sessions) as session:
        release = await session.get_one(Release, found.releases[number])
        await room.check(session, release, index + 1)
        name = f"{release.id}-{index}"
        await InstanceRepository(session).put(
            instance_id=name, release_id=release.id, index=index, address="127.0.0.1", port=20500
        )


@pytest.mark.parametrize(
    ("limit", "service", "setting"),
    [
        (Share(2, 10**6, 10**6), {}, "DELIVERY_INSTANCES_PER_ORGANIZATION"),
        (Share(99, 1000, 10**6), {"memory_mb": 400}, "DELIVERY_INSTANCE_MEMORY_MB_PER_ORGANIZATION"),
        (Share(99, 2500, 10**6), {"memory_mb": 60_000}, "DELIVERY_INSTANCE_MEMORY_MB_PER_ORGANIZATION"),
        (Share(99, 10**6, 3000), {"disk_mb": 1500}, "DELIVERY_INSTANCE_DISK_MB_PER_ORGANIZATION"),
        (Share(99, 10**6, 11_000), {}, "DELIVERY_INSTANCE_DISK_MB_PER_ORGANIZATION"),  # all that one may have
    ],
)
async def test_the_sum_of_an_organizations_instances_is_capped_and_the_limit_named(
    sessions: Sessions, history: MakeHistory, limit: Share, service: dict[str, int], setting: str
) -> None:
    found, other = await history(2), await history(1)
    await described(sessions, found, **service)
    await described(sessions, other, **service)
    room = InstanceRoom(limit, CEILING)
    await add(sessions, room, found, 0, 0)
    await add(sessions, room, found, 1, 0)
    with pytest.raises(TerminalError, match=setting) as caught:
        await add(sessions, room, found, 1, 1)
    assert caught.value.code is ErrorCode.QUOTA_EXCEEDED
    assert caught.value.details["setting"] == setting
    await add(sessions, room, other, 0, 0)  # nobody else's business
    await add(sessions, room, found, 1, 0)  # what is there already may be asked for again


async def test_those_who_start_at_one_moment_do_not_pass_together(sessions: Sessions, history: MakeHistory) -> None:
    found = await history(6)
    await described(sessions, found)
    room = InstanceRoom(Share(2, 10**6, 10**6), CEILING)
    outcomes = await asyncio.gather(
        *(add(sessions, room, found, number, 0) for number in range(6)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 2
    assert all(isinstance(outcome, TerminalError) for outcome in outcomes if outcome is not None)


async def test_what_fits_is_not_refused(sessions: Sessions, history: MakeHistory) -> None:
    found = await history(1)
    await described(sessions, found, {"worker": {"command": "work", "count": 3}})
    for index in range(5):
        await add(sessions, InstanceRoom(PLENTY, CEILING), found, 0, index)
    async with transaction(sessions) as session:
        rows = await session.scalars(select(Instance.index).where(Instance.release_id == found.releases[0]))
        assert sorted(rows) == [0, 1, 2, 3, 4]


async def test_process_types_are_counted_before_the_first_instance_is_started(
    sessions: Sessions, history: MakeHistory
) -> None:
    """They are started last, when the new version is about to get the traffic."""
    found = await history(1)
    await described(sessions, found, {"worker": {"command": "work", "count": 3, "memory_mb": 300}}, memory_mb=100)
    await add(sessions, InstanceRoom(Share(4, 1000, 10**6), CEILING), found, 0, 0)
    for limit in (Share(3, 1000, 10**6), Share(4, 999, 10**6)):
        with pytest.raises(TerminalError) as caught:
            await add(sessions, InstanceRoom(limit, CEILING), found, 0, 0)
        assert caught.value.code is ErrorCode.QUOTA_EXCEEDED


async def test_process_types_of_others_are_counted_as_long_as_they_run(
    sessions: Sessions, history: MakeHistory
) -> None:
    found = await history(2)
    await described(sessions, found, {"worker": {"command": "work", "count": 3}})
    await add(sessions, InstanceRoom(PLENTY, CEILING), found, 0, 0)
    room = InstanceRoom(Share(5, 10**6, 10**6), CEILING)  # 1 of the version that is kept, 1 + 3 of the one that serves
    await add(sessions, room, found, 1, 0)
    async with transaction(sessions) as session:
        await session.execute(update(Release).where(Release.id == found.releases[0]).values(state="active"))
    with pytest.raises(TerminalError) as caught:
        await add(sessions, room, found, 1, 0)
    assert caught.value.details["used_by_others"] == 4


async def test_what_was_good_before_is_never_refused(sessions: Sessions, history: MakeHistory) -> None:
    """A full organization goes back to the version before, and has what died brought back."""
    found = await history(2)
    await described(sessions, found)
    room = InstanceRoom(Share(1, 10**6, 10**6), CEILING)
    await add(sessions, room, found, 1, 0)
    with pytest.raises(TerminalError):
        await add(sessions, room, found, 0, 0)
    async with transaction(sessions) as session:
        await session.execute(update(Release).where(Release.id == found.releases[0]).values(was_healthy=True))
    await add(sessions, room, found, 0, 0)
