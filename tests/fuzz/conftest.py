"""The API of tests/api, served by uvicorn on a port of its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn

from api.http.uvicorn_protocol import EnvelopedHttp
from tests.api.conftest import (
    app,
    build_of,
    caller,
    one_document,
    operations,
    patient_health,
    plain_logs,
    platform,
    quick_secrets,
    recorder,
    rows,
    settings,
    world,
)

__all__ = [
    "app",
    "build_of",
    "caller",
    "one_document",
    "operations",
    "patient_health",
    "plain_logs",
    "platform",
    "quick_secrets",
    "recorder",
    "rows",
    "settings",
    "world",
]


@pytest.fixture(scope="module")
async def served(app) -> AsyncIterator[str]:
    """Its address, without /v1. The application is running already, so the server has no lifespan to run."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="warning", http=EnvelopedHttp)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # the signals are pytest's
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(120):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait on
            await asyncio.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task
