"""No sweep of the events side ends at its first failing item."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.errors import DependencyError
from events.retry_scheduler import RetryScheduler
from reconcilers.event_retention import EventRetention
from reconcilers.orphaned_operations import OrphanedOperations
from reconcilers.retention import RecordRetention
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Attempts, IdempotencyKey, Operation, Organization, Project, Revocation

KEY = {"principal": "p", "method": "POST", "path": "/", "request_hash": "", "status": 201, "body": b""}


@pytest.fixture(autouse=True)
def quiet():
    """To render faults for people takes seconds."""
    with capture_logs() as lines:
        yield lines


class Workflows:
    """Temporal, for which some operations are unlucky."""

    def __init__(self) -> None:
        self.broken: set[UUID] = set()
        self.asked: list[UUID] = []
        self.listed: list[str] = []

    async def is_running(self, workflow_id: str) -> bool:
        self.asked.append(UUID(workflow_id))
        if UUID(workflow_id) in self.broken:
            raise RuntimeError("an answer nobody expected")
        return False

    async def standing(self, _workflow_id: str) -> None:
        """Nobody can tell."""

    async def open_workflows(self, _names: object):
        yield self.listed


async def operations(sessions, count: int) -> list[UUID]:
    org, project = new_id(), new_id()
    ids = sorted(new_id() for _ in range(count))
    async with transaction(sessions) as session:
        session.add(Organization(id=org, name="Acme", slug=str(org), host_label=str(org)))
        await session.flush()
        session.add(Project(id=project, organization_id=org, name="S", slug="s", host_label="s", repository_url="x"))
        await session.flush()
        shared = {"organization_id": org, "project_id": project, "kind": "deploy", "requested_by": "me"}
        for one in ids:
            began = now() - timedelta(hours=1)
            session.add(Operation(id=one, **shared, resource_id=one, workflow_started_at=began, updated_at=began))
    return ids


async def test_the_lost_sweep_goes_on_behind_an_operation_nobody_can_tell_of(sessions):
    ids = await operations(sessions, 60)  # more than a page
    workflows = Workflows()
    workflows.broken = set(ids[:3])
    assert await OrphanedOperations(sessions, workflows).reconcile() == 57
    assert set(workflows.asked) == set(ids)


async def test_the_lost_sweep_goes_on_beside_a_workflow_that_was_started_by_hand(sessions):
    ids = await operations(sessions, 2)
    workflows = Workflows()
    workflows.listed = ["tried by hand", str(ids[0])]
    assert await OrphanedOperations(sessions, workflows).reconcile() >= 1
    assert ids[1] in workflows.asked
    assert ids[0] not in workflows.asked


@pytest.mark.parametrize("table", ["idempotency_keys", "grants", "logins"])
async def test_a_table_that_cannot_be_swept_keeps_no_other_from_it(sessions, table, quiet):
    past = now() - timedelta(days=1)
    async with transaction(sessions) as session:
        session.add(IdempotencyKey(**KEY, key=table, expires_at=past))
        session.add(Attempts(key=table, count=1, blocked_until=past, expires_at=past))
        session.add(Revocation(id=new_id(), kind="token", value=table, issued_before=past, expires_at=past))
    retention = RecordRetention(sessions)
    broken = {"idempotency_keys": "idempotency_keys", "grants": "oauth_grants", "logins": "login_sessions"}[table]
    async with transaction(sessions) as session:
        await session.execute(text(f"ALTER TABLE {broken} RENAME COLUMN expires_at TO lost"))
    try:
        keys, _ = await retention.sweep()
        gone = await retention.sweep_passed()
    finally:
        async with transaction(sessions) as session:
            await session.execute(text(f"ALTER TABLE {broken} RENAME COLUMN lost TO expires_at"))
    assert (gone["attempts"], gone["revocations"]) == (1, 1), quiet
    assert keys == (0 if table == "idempotency_keys" else 1)
    await RecordRetention(sessions).sweep()


async def test_events_are_swept_though_strays_cannot_be_given_up(sessions, monkeypatch, quiet):
    swept = asyncio.Event()

    async def fails(_self) -> None:
        raise RuntimeError

    async def sweeps(_self) -> int:
        swept.set()
        return 0

    monkeypatch.setattr(EventRetention, "give_up", fails)
    monkeypatch.setattr(EventRetention, "sweep", sweeps)
    task = asyncio.create_task(EventRetention(sessions).run())
    async with asyncio.timeout(120):
        await swept.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [line["sweep"] for line in quiet if line["event"] == "sweep.fault"] == ["event_retention"]


class Rows:
    """The deliveries to be handed over, in their order, but those that are to be left out."""

    def __init__(self) -> None:
        self.waiting: list[UUID] = []

    def claims(self, _session: object) -> "Rows":
        return self

    async def not_handed_over(self, *, limit: int, overdue: object, without: object) -> list[Mapping[str, Any]]:
        del overdue
        return [{"id": one} for one in self.waiting if one not in without][:limit]

    async def handed_over(self, ids: list[UUID]) -> None:
        self.waiting = [one for one in self.waiting if one not in ids]


class Starter:
    """Starts workflows, but not those of some."""

    def __init__(self, *bad: UUID, error: Exception) -> None:
        self.bad = set(bad)
        self.error = error

    async def retry(self, row: Mapping[str, Any]) -> None:
        if row["id"] in self.bad:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError("no such slug"), DependencyError("refused")])
async def test_deliveries_that_cannot_be_handed_over_do_not_stand_before_the_others(sessions, monkeypatch, error):
    """More of them than a batch has, and they have waited longest."""
    rows = Rows()
    monkeypatch.setattr("events.retry_scheduler.WebhookClaims", rows.claims)
    bad, good = [uuid4() for _ in range(60)], [uuid4() for _ in range(5)]
    rows.waiting = [*bad, *good]
    scheduler = RetryScheduler(sessions, Starter(*bad, error=error), asyncio.Event())
    for _ in range(12):
        await scheduler.reconcile()
    assert set(rows.waiting) == set(bad)
