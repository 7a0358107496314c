"""What is over is swept in bounded batches; what is still needed stays."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select

from domain.emails import mailbox
from reconcilers.retention import RecordRetention
from runtime.encryption import Sealer
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import (
    Attempts,
    Client,
    Grant,
    IdempotencyKey,
    LoginSession,
    OutboxEntry,
    OutsidePerson,
    RefreshToken,
    Revocation,
    User,
)
from storage.repositories.humans import HumanRepository
from storage.repositories.idempotency import IdempotencyRepository, KeyedRequest


def key(name: str, age: timedelta) -> IdempotencyKey:
    return IdempotencyKey(
        principal="p", key=name, method="POST", path="/", request_hash="", status=201, body=b"", expires_at=now() - age
    )


def entry(age: timedelta | None) -> OutboxEntry:
    done = None if age is None else now() - age
    return OutboxEntry(id=new_id(), kind="workflow_start", topic="t", resource_id=new_id(), payload={}, done_at=done)


@pytest.fixture
async def rows(sessions: Sessions) -> AsyncIterator[Sessions]:
    yield sessions
    async with transaction(sessions) as session:
        await session.execute(delete(IdempotencyKey))
        await session.execute(delete(OutboxEntry))


async def left(sessions: Sessions) -> tuple[int, int]:
    async with transaction(sessions) as session:
        keys = await session.scalar(select(func.count()).select_from(IdempotencyKey))
        entries = await session.scalar(select(func.count()).select_from(OutboxEntry))
    return keys or 0, entries or 0


async def test_only_what_is_over_goes(rows):
    hour, week = timedelta(hours=1), timedelta(days=7)
    async with transaction(rows) as session:
        session.add_all([key("old", hour), key("new", -hour)])
        session.add_all([entry(week + hour), entry(week - hour), entry(None)])
    assert await RecordRetention(rows).sweep() == (1, 1)
    assert await left(rows) == (1, 2)
    assert await RecordRetention(rows).sweep() == (0, 0)


async def test_a_sweep_is_bounded_and_the_next_goes_on(rows):
    async with transaction(rows) as session:
        session.add_all([key(f"k{number}", timedelta(hours=1)) for number in range(50)])
    retention = RecordRetention(rows, batch=10, max_batches=3)
    assert await retention.sweep() == (30, 0)
    assert await retention.sweep() == (20, 0)


async def test_workers_side_by_side_neither_wait_nor_double(rows):
    async with transaction(rows) as session:
        session.add_all([entry(timedelta(days=8)) for _ in range(200)])
    swept = await asyncio.gather(*(RecordRetention(rows, batch=20).sweep() for _ in range(4)))
    assert sum(entries for _, entries in swept) <= 200
    await RecordRetention(rows).sweep()
    assert await left(rows) == (0, 0)


async def test_a_key_in_use_is_left_alone(rows):
    async with transaction(rows) as session:
        session.add(key("busy", timedelta(hours=1)))
    request = KeyedRequest("p", "busy", None, "POST", "/", b"")
    async with transaction(rows) as session:
        assert await IdempotencyRepository(session, Sealer([bytes(32)])).claim(request) is None
        assert await asyncio.wait_for(RecordRetention(rows).sweep(), 60) == (0, 0)
    assert await left(rows) == (1, 0)


async def test_what_ends_by_itself_goes_with_all_that_hangs_on_it(sessions):
    past, future = now() - timedelta(minutes=1), now() + timedelta(minutes=1)
    user = User(id=new_id(), email="ada@example.com", name="Ada")
    client = Client(id=new_id(), kind="application", name="Board", created_by="tests")
    async with transaction(sessions) as session:
        session.add_all([user, client])
        await session.flush()
        for number, at in enumerate((past, future)):
            grant = Grant(
                id=new_id(),
                client_id=client.id,
                user_id=user.id,
                scopes=[],
                redirect_uri="https://app.example.com/cb",
                code_hash=f"code {number}",
                code_challenge="",
                expires_at=at,
            )
            session.add(grant)
            await session.flush()
            session.add_all(
                [
                    RefreshToken(id=new_id(), grant_id=grant.id, token_hash=f"token {number}"),
                    LoginSession(id=new_id(), user_id=user.id, token_hash=f"login {number}", expires_at=at),
                    Attempts(key=f"key {number}", count=1, blocked_until=at, expires_at=at),
                    Revocation(id=new_id(), kind="token", value=str(number), expires_at=at),
                ]
            )
    assert await RecordRetention(sessions).sweep_passed() == {"grants": 1, "logins": 1, "attempts": 1, "revocations": 1}
    async with transaction(sessions) as session:
        assert list(await session.scalars(select(RefreshToken.token_hash))) == ["token 1"]
    assert not any((await RecordRetention(sessions).sweep_passed()).values())


async def test_people_of_other_issuers_go_when_nothing_is_here_that_they_made(sessions):
    old, new = now() - timedelta(days=91), now() - timedelta(days=89)
    who = {"corp:gone": old, "corp:new": new, "corp:made": old, "corp:showed": old, "corp:holds": old}
    async with transaction(sessions) as session:
        session.add_all([OutsidePerson(subject=subject, mailbox="m", seen_at=at) for subject, at in who.items()])
        common = {"kind": "service_account", "name": "ci"}
        session.add_all(
            [
                Client(id=new_id(), **common, created_by="corp:made"),
                Client(id=new_id(), **common, created_by="ann", secret_by="corp:showed"),
                Client(id=new_id(), **common, created_by="ann", secret_holders=["bob", "corp:holds"]),
            ]
        )
    assert await RecordRetention(sessions).sweep_people() == 4
    async with transaction(sessions) as session:
        assert set(await session.scalars(select(OutsidePerson.subject))) == who.keys() - {"corp:gone"}
    assert await RecordRetention(sessions).sweep_people() == 0, "who is needed is looked at again after as long"


async def test_who_of_another_issuer_is_seen_again_stays(sessions):
    async with transaction(sessions) as session:
        known = mailbox("ann@example.com")
        session.add(OutsidePerson(subject="corp:ann", mailbox=known, seen_at=now() - timedelta(days=91)))
    async with transaction(sessions) as session:
        await HumanRepository(session).remember("corp:ann", "ann@example.com")
    assert await RecordRetention(sessions).sweep_people() == 0
