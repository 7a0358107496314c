"""Several API processes behind one port, with a collector of traces that never answers: metrics add up, logs go on."""

import asyncio
import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from drivers.folders import remove_tree
from runtime.stack import orphans
from tests.api.test_followed_logs import events_of
from tests.chaos.records import Records
from tests.support.platform import App, Platform
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(600)]

PROCESSES = 2
ASKED = 60
SPEC = {"build": {"steps": ["true"], "output": "."}, "service": {"command": "exec python3 -u service.py"}}
SERVICE = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The address of a collector that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def platform(silent: str) -> Iterator[Platform]:
    folder = Path(tempfile.mkdtemp(prefix="de-several-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    environment = {
        "DELIVERY_API_PROCESSES": str(PROCESSES),
        "DELIVERY_RATE_LIMITS": "off",
        "OTEL_EXPORTER_OTLP_ENDPOINT": silent,
    }
    try:
        running = Platform(folder / "data", folder / "repositories", environment)
        try:
            yield running
        finally:
            running.close()
    finally:
        remove_tree(folder)


def serving(platform: Platform) -> list[psutil.Process]:
    """The processes that serve the API: those below the one that the stack started."""
    records = Records(platform.stack.data_dir)
    try:
        parent = psutil.Process(orphans.running(records.layout)["api"])
    finally:
        records.close()
    return [child for child in parent.children() if serves(child)]


def serves(child: psutil.Process) -> bool:
    """Whether it is one that `multiprocessing` started, and alive."""
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.Error:
        return False


def total(platform: Platform) -> int:
    return int(platform.api.call("GET", "/metrics")["metrics"]["api_requests_total"])


async def ask(platform: Platform, times: int) -> None:
    """Each on a connection of its own, so that the kernel deals them to the processes."""
    headers = {"Authorization": f"Bearer {platform.stack.token()}"}
    for _ in range(times):
        async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
            assert (await http.get(f"{platform.api.root}/v1/users/me")).status_code == 200


async def test_processes_add_up_also_when_one_was_killed(platform: Platform) -> None:
    assert len(serving(platform)) == PROCESSES
    before = await asyncio.to_thread(total, platform)
    await ask(platform, ASKED)
    await until(lambda: total(platform) >= before + ASKED, 120)
    victim = serving(platform)[0]
    victim.kill()
    await until(lambda: len([one for one in serving(platform) if one.pid != victim.pid]) == PROCESSES, 120)
    before = await asyncio.to_thread(total, platform)
    await ask(platform, ASKED)
    await until(lambda: total(platform) >= before + ASKED, 120)


class Follower:
    """Follows a log as a browser does: it comes back with the id of the last event that it saw."""

    def __init__(self, platform: Platform, deployment: str) -> None:
        self._url = f"{platform.api.root}/v1/deployments/{deployment}/logs?follow=true&limit=5000"
        self._headers = {"Authorization": f"Bearer {platform.stack.token()}"}
        self._last: str | None = None
        self.breaks = 0
        self.lines: list[str] = []

    async def run(self) -> None:
        while True:
            headers = self._headers | ({"Last-Event-ID": self._last} if self._last else {})
            try:
                async with (
                    httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
                    http.stream("GET", self._url) as answer,
                ):
                    await self._read(answer)
            except httpx2.TransportError:
                self.breaks += 1
            await asyncio.sleep(0.2)

    async def _read(self, answer: Any) -> None:
        kept = ""
        async for text in answer.aiter_text():
            *whole, kept = (kept + text).split("\n\n")
            for event in events_of("".join(f"{one}\n\n" for one in whole)):
                self._last = event.get("id") or self._last
                if event["event"] == "log":
                    self.lines += [line["text"] for line in json.loads(event["data"])["lines"]]


def answers(app: App, path: str) -> bool:
    """Whether the service does; while the engine starts, its ingress may not be there."""
    try:
        return app.service.get(path).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


async def test_a_delivery_and_a_follower_while_the_engine_is_restarted(platform: Platform) -> None:
    app = platform.app("talks")
    shipped = await asyncio.to_thread(app.ship_good, files={"service.py": SERVICE}, spec=SPEC)
    follower = Follower(platform, shipped.deployment["id"])
    following = asyncio.create_task(follower.run())
    assert app.service.get("/first").status_code == 200
    await until(lambda: "asked for /first" in follower.lines, 120)
    for process in serving(platform):
        process.kill()
    await until(lambda: follower.breaks > 0, 120)
    await until(lambda: answers(app, "/second"), 120)
    await until(lambda: "asked for /second" in follower.lines, 120)
    await asyncio.to_thread(platform.restart)
    await until(lambda: answers(app, "/third"), 240)
    await until(lambda: "asked for /third" in follower.lines, 240)
    following.cancel()
    assert follower.lines.count("asked for /first") == 1, "no line comes twice"
