"""A relay killed again and again loses nothing: every event arrives, in the order of its resource."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.support.arrivals import ROOT, receivers
from tests.support.deep import by_depth
from tests.support.waiting import until
from tests.support.webhooks import Scene

EVENTS = by_depth(short=60, long=160)
KILLS = 2
LEASE_S, LIMIT_S = 5.2, 5.0  # longer than an attempt may take there, and short enough for a test


def start(database_url: str) -> subprocess.Popen[bytes]:
    options = ["--lease", str(LEASE_S), "--limit", str(LIMIT_S)]
    command = [sys.executable, "-m", "tests.support.hook_process", "relay", *options]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DELIVERY_DATABASE_URL": database_url})


async def end(relay: subprocess.Popen[bytes]) -> None:
    relay.kill()
    await asyncio.to_thread(relay.wait, 60)


@pytest.mark.shortened
async def test_every_event_arrives_in_order_although_relays_are_killed(sessions, database_url):
    scene = await Scene.make(sessions)
    resources = [f"00000000-0000-7000-8000-{number:012x}" for number in range(20)]
    sent: dict[str, tuple[str, int]] = {}
    with receivers(2) as arrivals:
        for port in arrivals.ports:
            await scene.endpoint(f"http://127.0.0.1:{port}/")
        relays = [start(database_url) for _ in range(2)]
        try:
            for number in range(EVENTS):
                resource = resources[number % len(resources)]
                told = {"resource": resource, "number": number}
                sent[str(await scene.event(resource_id=resource, chaos=told))] = (resource, number)
                if number % (EVENTS // KILLS) == EVENTS // KILLS - 1:
                    await until(lambda: len(arrivals.seen) > len(sent))
                    await end(relays.pop(0))
                    relays.append(start(database_url))
            await until(lambda: all(arrivals.taken(port) == EVENTS for port in arrivals.ports))
        finally:
            for relay in relays:
                await end(relay)
        assert arrivals.complaints(sent) == []
