"""`python -m api` as a process: it serves, and it goes when it is told to."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[2]


async def test_the_process_serves_and_ends_within_its_grace(settings, free_port):
    port = free_port()
    environment = {
        **os.environ,
        "DELIVERY_DATABASE_URL": settings.database_url.get_secret_value(),
        "DELIVERY_DATA_DIR": str(settings.data_dir),
        "DELIVERY_API_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(240), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        while not await _is_ready(client):  # noqa: ASYNC110 - another process has no event to wait on
            await asyncio.sleep(0.1)
        response = await client.get("/v1/organizations?search=hidden")
        assert response.status_code == 401
        assert "server" not in response.headers
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode in {0, -signal.SIGTERM}
    assert b"/v1/organizations" in log
    assert b"hidden" not in log
    password = settings.database_url.get_secret_value().split("@")[0].rsplit(":", 1)[-1]
    assert password.encode() not in log


async def _is_ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False
