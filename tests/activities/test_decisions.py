"""The relays deal turns between organizations: a thousand decisions or starts of one keep no other waiting."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select

from contracts.operations import AbortRequest, ActionRequest
from domain.approvals import Action
from domain.errors import DependencyError
from domain.lifecycle import OperationKind
from reconcilers import decision_relay as relays
from reconcilers.decision_relay import DecisionRelay
from reconcilers.outbox_relay import WORKFLOW_START
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import Deployment, OutboxEntry
from storage.repositories.decisions import DECISION
from storage.repositories.outbox_claims import OutboxClaims
from tests.activities.conftest import History, MakeHistory
from tests.support.waiting import until


class Workflows:
    """One organization's never answer; those of others do not know yet."""

    def __init__(self, silent: UUID) -> None:
        self.asked: list[UUID] = []
        self._silent = silent

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        del kind, payload

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        del workflow_id, request

    async def decide(
        self, workflow_id: str, action: Action, request: ActionRequest | AbortRequest, *, key: str
    ) -> None:
        del action, request, key
        self.asked.append(UUID(workflow_id))
        if UUID(workflow_id) == self._silent:
            await asyncio.Event().wait()
        raise DependencyError("not now")


async def operation_of(sessions: Sessions, found: History) -> UUID:
    async with transaction(sessions) as session:
        where = Deployment.environment_id == found.environment_id
        operation_id = await session.scalar(select(Deployment.operation_id).where(where).limit(1))
    assert operation_id is not None
    return operation_id


async def enter(sessions: Sessions, found: History, kind: str, count: int, *, age_s: float) -> UUID:
    """So many entries of one organization, due for so long; what they are about."""
    operation_id = await operation_of(sessions, found)
    payload = {"request": {"actor": "me", "reason": ""}, "key": "k"}
    due = now() - timedelta(seconds=age_s)
    async with transaction(sessions) as session:
        session.add_all(
            OutboxEntry(
                id=new_id(),
                organization_id=found.organization_id,
                kind=kind,
                topic="pause",
                resource_id=operation_id,
                payload=payload,
                due_at=due,
            )
            for _ in range(count)
        )
    return operation_id


@pytest.fixture(autouse=True)
async def _nothing_else(sessions: Sessions) -> None:
    async with transaction(sessions) as session:
        await session.execute(delete(OutboxEntry))


async def test_a_thousand_decisions_that_nobody_answers_keep_no_others_waiting(
    sessions: Sessions, history: MakeHistory
) -> None:
    many, single = await history(1), await history(1)
    silent = await enter(sessions, many, DECISION, 1000, age_s=60)
    workflows = Workflows(silent)
    relay = asyncio.create_task(DecisionRelay(sessions, workflows).run())
    await until(lambda: workflows.asked.count(silent) == relays.OF_ONE)
    other = await enter(sessions, single, DECISION, 1, age_s=1)
    await until(lambda: other in workflows.asked)
    assert workflows.asked.count(silent) == relays.OF_ONE
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)


async def test_with_all_places_taken_one_that_has_none_is_sent(
    sessions: Sessions, history: MakeHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "AT_ONCE", relays.OF_ONE)
    many, single = await history(1), await history(1)
    silent = await enter(sessions, many, DECISION, 100, age_s=60)
    workflows = Workflows(silent)
    relay = asyncio.create_task(DecisionRelay(sessions, workflows).run())
    await until(lambda: workflows.asked.count(silent) == relays.OF_ONE)
    other = await enter(sessions, single, DECISION, 3, age_s=1)
    await until(lambda: other in workflows.asked)
    assert workflows.asked.count(silent) == relays.OF_ONE
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)


async def test_starts_are_dealt_in_turn(sessions: Sessions, history: MakeHistory) -> None:
    many, few = await history(1), await history(1)
    first = await enter(sessions, many, WORKFLOW_START, 50, age_s=60)
    second = await enter(sessions, few, WORKFLOW_START, 2, age_s=1)
    async with transaction(sessions) as session:
        due = await OutboxClaims(session).due(kinds=[WORKFLOW_START], limit=6)
        assert [entry.resource_id for entry in due] == [first, second, first, second, first, first]
