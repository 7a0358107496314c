"""The schedule of re-scans on a real Temporal server: there, as the settings want it, and never twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest
from temporalio.client import Client, ScheduleDescription
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from contracts.names import RESCAN_WORKFLOW, is_rescan
from domain.errors import ConflictError, DependencyError
from orchestration.connection import Connection
from orchestration.rescans import Rescans
from runtime.settings import Settings

DAY = timedelta(days=1)


@pytest.fixture
async def rescans(temporal_env: WorkflowEnvironment) -> AsyncIterator[Rescans]:
    address = temporal_env.client.service_client.config.target_host
    yield Rescans(Connection(Settings(temporal_address=address, temporal_namespace=temporal_env.client.namespace)))
    with suppress(RPCError):  # there is none
        await temporal_env.client.get_schedule_handle(RESCAN_WORKFLOW).delete()


async def described(client: Client) -> ScheduleDescription:
    return await client.get_schedule_handle(RESCAN_WORKFLOW).describe()


async def test_it_is_made_once_and_follows_the_settings(rescans, temporal_env):
    client = temporal_env.client
    with pytest.raises(ConflictError):
        await rescans.start_now()
    changed = await asyncio.gather(*(rescans.ensure(DAY) for _ in range(4)))
    assert changed.count(True) == 1
    for every, paused in ((DAY, False), (timedelta(hours=2), False), (timedelta(), True), (timedelta(hours=3), False)):
        await rescans.ensure(every)
        assert await rescans.ensure(every) is False
        found = (await described(client)).schedule
        assert found.state.paused is paused
        if every:
            assert [one.every for one in found.spec.intervals] == [every]


async def test_a_persons_pause_stays(rescans, temporal_env):
    await rescans.ensure(DAY)
    await temporal_env.client.get_schedule_handle(RESCAN_WORKFLOW).pause(note="advisories are being moved")
    assert await rescans.ensure(DAY) is False
    await rescans.ensure(timedelta(hours=5))
    state = (await described(temporal_env.client)).schedule.state
    assert (state.paused, state.note) == (True, "advisories are being moved")


async def test_one_is_started_at_once_by_hand(rescans, temporal_env):
    await rescans.ensure(DAY)
    await rescans.start_now()
    async with asyncio.timeout(120):
        while not (actions := (await described(temporal_env.client)).info.recent_actions):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.1)
    workflow_id = actions[0].action.workflow_id
    assert is_rescan(workflow_id)
    await temporal_env.client.get_workflow_handle(workflow_id).terminate()


async def test_a_server_that_is_away_is_a_dependency():
    with pytest.raises(DependencyError):
        await Rescans(Connection(Settings(temporal_address="127.0.0.1:9"))).ensure(DAY)
