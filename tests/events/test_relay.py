"""What the outbox says to workflows is said in the end, in the order in which it was committed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from contracts.names import SignalName
from contracts.rollouts import SettingsChanged
from domain.errors import DependencyError
from events.relay import Relay
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.listen import Listener
from storage.models import OutboxEntry
from storage.repositories.outbox import OutboxRepository


class Environments:
    """Stands in for Temporal."""

    def __init__(self) -> None:
        self.told: list[tuple[SignalName, UUID]] = []
        self.away = False

    async def tell_environment(self, signal: SignalName, payload: Mapping[str, Any]) -> None:
        if self.away:
            raise DependencyError("away")
        self.told.append((signal, SettingsChanged.model_validate(payload).environment_id))


@pytest.fixture
def environments() -> Environments:
    return Environments()


@pytest.fixture
def relay(sessions: Sessions, environments: Environments, database_url: str) -> Relay:
    return Relay(sessions, environments, Listener(database_url, "outbox"))


async def change(sessions: Sessions) -> UUID:
    environment_id = new_id()
    payload = SettingsChanged(environment_id=environment_id).model_dump(mode="json")
    async with transaction(sessions) as session:
        await OutboxRepository(session).signal_workflow(
            new_id(),
            organization_id=new_id(),
            topic=SignalName.SETTINGS_CHANGED,
            resource_id=environment_id,
            payload=payload,
        )
    return environment_id


async def test_changed_settings_are_told_once(relay, sessions, environments):
    changed = [await change(sessions) for _ in range(2)]
    await relay._drain_batch()
    await relay._drain_batch()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, one) for one in changed]


async def test_with_temporal_away_they_are_told_later(relay, sessions, environments):
    changed = await change(sessions)
    environments.away = True
    await relay._drain_batch()
    async with transaction(sessions) as session:
        row = await session.scalar(select(OutboxEntry).where(OutboxEntry.resource_id == changed))
        assert (row.done_at, row.attempts, row.last_error) == (None, 1, "away")
        await session.execute(update(OutboxEntry).where(OutboxEntry.id == row.id).values(due_at=now()))
    environments.away = False
    await relay._drain_batch()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, changed)]


async def test_what_is_due_in_an_hour_because_the_clock_was_set_back_is_told_now(relay, sessions, environments):
    changed = await change(sessions)
    async with transaction(sessions) as session:
        ours = update(OutboxEntry).where(OutboxEntry.resource_id == changed)
        await session.execute(ours.values(due_at=now() + timedelta(hours=1)))
    await relay._drain_batch()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, changed)]


async def test_what_was_put_off_for_seconds_waits(relay, sessions, environments):
    changed = await change(sessions)
    async with transaction(sessions) as session:
        ours = update(OutboxEntry).where(OutboxEntry.resource_id == changed)
        await session.execute(ours.values(due_at=now() + timedelta(seconds=30)))
    await relay._drain_batch()
    assert environments.told == []
