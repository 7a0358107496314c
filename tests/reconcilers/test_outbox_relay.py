"""What the outbox says to workflows is said in the end, in the order in which it was committed."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs

from contracts.names import SignalName
from contracts.rollouts import SettingsChanged
from domain.errors import DependencyError
from reconcilers import outbox_relay as relays
from reconcilers.outbox_relay import OutboxRelay
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
        self.refused: set[UUID] = set()
        self.hanging: set[UUID] = set()

    async def tell_environment(self, signal: SignalName, payload: Mapping[str, Any]) -> None:
        environment_id = UUID(payload["environment_id"])
        if self.away or environment_id in self.refused:
            raise DependencyError("away")
        if environment_id in self.hanging:
            await asyncio.Event().wait()
        self.told.append((signal, SettingsChanged.model_validate(payload).environment_id))


@pytest.fixture
def environments() -> Environments:
    return Environments()


@pytest.fixture
def relay(sessions: Sessions, environments: Environments, database_url: str) -> OutboxRelay:
    return OutboxRelay(sessions, environments, Listener(database_url, "outbox"))


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


async def test_changed_settings_are_sent_once(relay, sessions, environments):
    changed = [await change(sessions) for _ in range(2)]
    await relay.reconcile()
    await relay.reconcile()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, one) for one in changed]


async def test_with_temporal_away_they_are_sent_later(relay, sessions, environments):
    changed = await change(sessions)
    environments.away = True
    await relay.reconcile()
    async with transaction(sessions) as session:
        row = await session.scalar(select(OutboxEntry).where(OutboxEntry.resource_id == changed))
        assert (row.done_at, row.attempts, row.last_error) == (None, 1, "away")
        await session.execute(update(OutboxEntry).where(OutboxEntry.id == row.id).values(due_at=now()))
    environments.away = False
    await relay.reconcile()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, changed)]


async def test_what_is_due_in_an_hour_because_the_clock_was_set_back_is_sent_now(relay, sessions, environments):
    changed = await change(sessions)
    async with transaction(sessions) as session:
        ours = update(OutboxEntry).where(OutboxEntry.resource_id == changed)
        await session.execute(ours.values(due_at=now() + timedelta(hours=1)))
    await relay.reconcile()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, changed)]


async def test_what_was_put_off_for_seconds_waits(relay, sessions, environments):
    changed = await change(sessions)
    async with transaction(sessions) as session:
        ours = update(OutboxEntry).where(OutboxEntry.resource_id == changed)
        await session.execute(ours.values(due_at=now() + timedelta(seconds=30)))
    await relay.reconcile()
    assert environments.told == []


async def poison(sessions: Sessions, **values: object) -> UUID:
    """An entry that makes no sense; it has waited longer than all others."""
    poisoned = await change(sessions)
    async with transaction(sessions) as session:
        past = now() - timedelta(hours=1)
        entry = update(OutboxEntry).where(OutboxEntry.resource_id == poisoned)
        await session.execute(entry.values(due_at=past, **values))
    return poisoned


async def test_entries_that_can_never_be_done_stop_nobody(relay, sessions, environments):
    """More of them than a batch has, of every kind: no topic, no payload, refused by Temporal."""
    for _ in range(5):
        await poison(sessions, topic="no such signal")
        await poison(sessions, payload={})
        environments.refused.add(await poison(sessions))
    with capture_logs():
        for _ in range(12):
            await relay.reconcile()
        changed = [await change(sessions) for _ in range(2)]
        await relay.reconcile()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, one) for one in changed]
    async with transaction(sessions) as session:
        left = await session.scalars(select(OutboxEntry).where(OutboxEntry.done_at.is_(None), OutboxEntry.attempts > 0))
        assert {entry.last_error is None for entry in left} == {False}
        await session.execute(delete(OutboxEntry))


async def test_an_entry_that_hangs_is_left_for_later(relay, sessions, environments, monkeypatch):
    monkeypatch.setattr(relays, "LIMIT_S", 3.0)
    environments.hanging.add(await poison(sessions))
    good = await change(sessions)
    with capture_logs():
        async with asyncio.timeout(120):
            await relay.reconcile()
    assert environments.told == [(SignalName.SETTINGS_CHANGED, good)]
    async with transaction(sessions) as session:
        await session.execute(delete(OutboxEntry))
