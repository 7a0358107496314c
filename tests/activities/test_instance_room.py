"""The instances of an organization have so much of the machine, all together; other organizations do not notice."""

import asyncio

import pytest
from sqlalchemy import update

from activities.instance_room import InstanceRoom
from domain.ceilings import Ceiling
from domain.errors import ErrorCode, TerminalError
from domain.shares import Share
from storage.engine import Sessions, transaction
from storage.models import Release
from storage.repositories.releases import InstanceRepository
from tests.activities.conftest import History, MakeHistory

CEILING = Ceiling(memory_mb=1000, processes=100, disk_mb=5000)
PLENTY = Share(1000, 10**6, 10**6)


async def described(sessions: Sessions, found: History, **service: object) -> None:
    async with transaction(sessions) as session:
        whole = {"command": "true", **service}
        await session.execute(update(Release).where(Release.id.in_(found.releases)).values(service=whole))


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
    await described(sessions, found)
    for index in range(5):
        await add(sessions, InstanceRoom(PLENTY, CEILING), found, 0, index)
