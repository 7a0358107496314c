"""The Temporal client: bounded when the server is down."""

import asyncio

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.errors import DependencyError
from runtime.settings import Settings
from runtime.temporal import check_temporal, connect_temporal


async def test_connects_to_a_running_server(temporal_env: WorkflowEnvironment):
    settings = Settings(temporal_address=temporal_env.client.service_client.config.target_host)
    client = await connect_temporal(settings)
    await check_temporal(client, settings)


async def test_a_dead_server_is_a_dependency_error_in_time(free_port):
    settings = Settings(temporal_address=f"127.0.0.1:{free_port()}")
    async with asyncio.timeout(60):
        with pytest.raises(DependencyError, match="does not answer"):
            await connect_temporal(settings)
        lazy = await connect_temporal(settings, lazy=True)
        with pytest.raises(DependencyError, match="does not answer"):
            await check_temporal(lazy, settings)
