"""On a real PostgreSQL: a pass whose connection hangs ends at its limit, and the ones behind it do the work."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from reconcilers.retention import RecordRetention
from runtime.ids import now
from runtime.reconciler import running
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.models import IdempotencyKey
from tests.support.freezing import freeze
from tests.support.waiting import until

KEY = {"principal": "p", "method": "POST", "path": "/", "request_hash": "", "status": 201, "body": b""}


@pytest.fixture
async def hanging(database_url: str) -> AsyncIterator[Sessions]:
    """Sessions whose one connection does not answer any more: its server process is stopped."""
    engine = create_engine(database_url, application_name="hanging", pool_size=1)
    sessions = create_sessions(engine)
    async with transaction(sessions) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
    assert pid
    freeze(pid)
    try:
        yield sessions
    finally:
        os.kill(pid, signal.SIGCONT)
        await engine.dispose()


async def test_a_pass_that_hangs_does_not_stop_the_following_ones(sessions: Sessions, hanging: Sessions) -> None:
    async with transaction(sessions) as session:
        session.add(IdempotencyKey(**KEY, key="old", expires_at=now() - timedelta(days=1)))

    async def left() -> int:
        async with transaction(sessions) as session:
            return await session.scalar(select(func.count()).select_from(IdempotencyKey)) or 0

    retention = RecordRetention(hanging)
    retention.limit_s = 2.0
    with capture_logs() as lines:
        async with asyncio.timeout(240), running(retention):
            while await left():  # noqa: ASYNC110 - the database tells
                await asyncio.sleep(0.1)
            await until(lambda: any(line["event"] == "reconciler.recovered" for line in lines))
    told = [line["event"] for line in lines if line.get("reconciler") == "record_retention"]
    assert told[0] == "reconciler.timed_out"
    assert told[-1] == "reconciler.recovered"
