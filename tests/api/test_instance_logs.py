"""Logs of what a deployment runs: lines of all instances, kept over restarts, masked, followed."""

import asyncio
import itertools
import json
from datetime import datetime
from uuid import UUID

import pytest

from domain.log_lines import WITHOUT_BEGINNING
from drivers.shim import times
from drivers.shim.log import CappedLog
from drivers.targets.process.folder import InstanceFolder, InstanceRecord
from drivers.targets.process.kept_logs import KEPT_BYTES, KeptLogs
from runtime.log_files import RotatedLog
from storage.engine import transaction
from storage.models import Release
from tests.api.test_followed_logs import events_of
from tests.support.waiting import until

SECRET = 'pa"ss-of-a-service'
NUMBER = itertools.count(1)
BEGUN_MS = 1_790_000_000_000


@pytest.fixture
async def live(world, build_of):
    async def make(version: str = "") -> str:
        return (await build_of(world, version or f"71.0.{next(NUMBER)}"))["deployment_id"]

    return make


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        ms = BEGUN_MS

    monkeypatch.setattr(times, "_now_ms", lambda: Clock.ms)
    return Clock


@pytest.fixture
def instance(settings):
    """The log of an instance, written as its shim does."""

    def of(deployment_id: str, name: str = "0", limit: int = 1_000_000) -> CappedLog:
        folder = InstanceFolder(settings.data_dir / "instances" / f"{deployment_id}-{name}")
        folder.write(InstanceRecord(folder.path.name, deployment_id, "sha256:00", 1, isolated=False))
        return CappedLog(str(folder.log), limit, rotate=True)

    return of


def texts(answer) -> list[str]:
    return [line["text"] for line in answer.json()["data"]["lines"]]


def told(text: str) -> list[str]:
    pieces = [json.loads(each["data"]) for each in events_of(text) if each["event"] == "log"]
    return [line["text"] for piece in pieces for line in piece["lines"]]


async def test_lines_of_all_instances_in_the_order_of_their_time(world, live, instance, clock):
    deployment = await live()
    logs = {name: instance(deployment, name) for name in ("0", "1", "worker-0")}
    for number in range(6):
        clock.ms += 1000
        for name, log in logs.items():
            log.write(f"{name} says {number}\n".encode())
    url = f"/deployments/{deployment}/logs"
    data = (await world.developer.get(url)).json()["data"]
    assert data["instances"] == [f"{deployment}-0", f"{deployment}-1", f"{deployment}-worker-0"]
    assert [line["text"] for line in data["lines"]][:4] == ["0 says 0", "1 says 0", "worker-0 says 0", "0 says 1"]
    assert datetime.fromisoformat(data["lines"][0]["time"]).timestamp() * 1000 == BEGUN_MS + 1000
    assert not data["truncated"]
    assert texts(await world.developer.get(f"{url}?instance={deployment}-1&limit=2")) == ["1 says 4", "1 says 5"]
    since = datetime.fromtimestamp((BEGUN_MS + 5000) / 1000).astimezone().isoformat(timespec="milliseconds")
    recent = await world.developer.get(url, params={"since": since, "limit": 5})
    assert texts(recent) == ["1 says 4", "worker-0 says 4", "0 says 5", "1 says 5", "worker-0 says 5"]
    assert recent.json()["data"]["truncated"]


async def test_a_clock_that_is_set_back_leaves_lines_in_their_order(world, live, instance, clock):
    deployment = await live()
    logs = [instance(deployment, name) for name in ("0", "1")]
    for number in range(6):
        clock.ms += 1000 if number != 3 else -3_600_000
        for index, log in enumerate(logs):
            log.write(f"{index} says {number}\n".encode())
    answer = await world.developer.get(f"/deployments/{deployment}/logs?limit=4")
    assert texts(answer) == ["0 says 4", "1 says 4", "0 says 5", "1 says 5"]


async def test_bad_input(world, other_world, live, instance):
    deployment = await live()
    instance(deployment).write(b"one\n")
    url = f"/deployments/{deployment}/logs"
    for query in (
        "limit=0",
        "limit=5001",
        "limit=x",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "since=0001-01-01T00:00:00%2B14:00",
        "follow=perhaps",
    ):
        assert (await world.developer.get(f"{url}?{query}")).status_code == 400, query
    for name in ("..", "../../secrets", f"{deployment}-7", "0", "a" * 128, "%2e%2e%2f"):
        assert (await world.developer.get(url, params={"instance": name})).status_code == 404, name
        followed = await world.developer.get(url, params={"instance": name, "follow": "true"})
        assert followed.status_code == 404, name
    for query in ("", "?follow=true"):
        assert (await other_world.developer.get(url + query)).status_code == 404
    assert texts(await world.developer.get(f"{url}?since=2999-01-01T00:00:00Z")) == []


async def test_a_deployment_without_instances_has_no_lines(world):
    body = {"version_tag": "71.1.0", "git_branch": "main", "environment": "dev"}
    accepted = await world.developer.made(f"/features/{world.feature['id']}/build-and-deploy", body)
    answer = await world.developer.get(f"/deployments/{accepted['resource_id']}/logs")
    assert answer.json()["data"] == {"instances": [], "lines": [], "truncated": False}


async def test_odd_bytes_are_told_as_json(world, live, instance):
    deployment = await live()
    instance(deployment).write(b'\xff\x00\x1b[2J"\\\r\n\xed\xa0\x80 \xe2\x80\xa8 no line feed')
    answer = await world.developer.get(f"/deployments/{deployment}/logs")
    assert texts(answer) == ['\ufffd\ufffd\x1b[2J"\\', "\ufffd\ufffd\ufffd \u2028 no line feed"]


@pytest.mark.parametrize("after", [0, 3])
async def test_ten_megabytes_in_one_line_are_one_line_with_a_note(world, live, instance, after):
    deployment = await live()
    log = instance(deployment, limit=10 * 1024 * 1024)
    log.write(b"before\n")
    for _ in range(160):
        log.write(b"w" * 65536)
    log.write(b"\n" + b"after\n" * after)
    answer = await world.developer.get(f"/deployments/{deployment}/logs")
    assert texts(answer)[-after - 1 :] == [WITHOUT_BEGINNING, *["after"] * after]
    assert len(answer.content) < 10_000


async def test_secrets_are_masked_as_they_are_and_as_json_writes_them(
    *, world, live, instance, platform, followed, app
):
    lines = "-----BEGIN KEY-----\nsecond-line-of-it\n-----END KEY-----"
    for name, value in (("PASSWORD", SECRET), ("KEY", lines)):
        body = {"name": name, "kind": "service_env", "value": value}
        await platform.made(f"/projects/{world.project['id']}/secrets", body)
    app.state.parts.logs.deployments._masks._answers.forget(UUID(world.project["id"]))  # kept for a moment
    deployment = await live()
    log = instance(deployment, limit=400_000)
    for number in range(9000):  # it is turned over in the middle of a value
        log.write(f"{'x' * (number % 7)} {SECRET} {json.dumps(SECRET)} second-line-of-it\n".encode())
    log.write(b"y" * 16_380 + SECRET.encode() + b"z" * 100_000 + b"\n")
    answer = await world.developer.get(f"/deployments/{deployment}/logs?limit=5000")
    assert texts(answer)[0] == WITHOUT_BEGINNING
    assert set(texts(answer)[1:-1]) <= {f'{"x" * n} *** "***" ***' for n in range(7)}
    assert texts(answer)[-1] == "y" * 16_380 + "*** [... cut: the line is longer than 16 KiB]"
    log.write(b"begun " + SECRET[:9].encode())
    newest = await world.developer.get(f"/deployments/{deployment}/logs?limit=1")
    assert texts(newest) == ["begun ***"], "it writes on"
    headers = {"Last-Event-ID": "0=0"}
    text = await followed(deployment, headers=headers)
    assert len(told(text)) > 2000
    for part in (SECRET, SECRET[:9], SECRET[-9:], "second-line"):
        assert part not in text


@pytest.fixture
def stop(rows):
    """What the worker writes when a release is stopped."""

    async def stop(deployment: str) -> None:
        async with transaction(rows) as session:
            (await session.get_one(Release, UUID(deployment))).state = "stopped"

    return stop


@pytest.fixture
def followed(world, stop):
    """What is told until the release is stopped."""

    async def follow(deployment: str, **options) -> str:
        url = f"/deployments/{deployment}/logs?follow=true"
        reading = asyncio.create_task(world.developer.get(url, **options))
        await asyncio.sleep(0.7)
        await stop(deployment)
        return (await asyncio.wait_for(reading, 120)).text

    return follow


async def test_a_follower_hears_what_comes_until_nothing_runs(*, world, live, instance, app, stop):
    deployment = await live()
    first = instance(deployment)
    for number in range(10):
        first.write(f"old {number}\n".encode())
    url = f"/deployments/{deployment}/logs?follow=true&limit=3"
    reading = [asyncio.create_task(world.developer.get(url)) for _ in range(2)]
    await until(lambda: app.state.parts.places.logs._taken["all"] == 2)  # both have looked at the newest
    await asyncio.sleep(0.5)
    first.write(b"new\npart")
    second = instance(deployment, "1")  # another one is started
    second.write(b"of the second\n")
    await asyncio.sleep(0.5)
    first.write(b" of a line\n")
    await asyncio.sleep(0.5)
    await stop(deployment)
    for answer in await asyncio.gather(*reading):
        lines = told(answer.text)
        assert lines[:3] == ["old 7", "old 8", "old 9"]
        assert sorted(lines[3:]) == ["new", "of the second", "part of a line"]
        assert events_of(answer.text)[-1]["event"] == "end"
        assert json.loads(events_of(answer.text)[-1]["data"]) == {"status": "success"}
    last = {"Last-Event-ID": events_of(answer.text)[-1]["id"]}
    assert (await world.developer.get(url, headers=last)).status_code == 204


async def test_who_comes_back_late_is_told_how_much_is_gone(live, instance, followed):
    deployment = await live()
    log = instance(deployment, limit=20_000)
    for number in range(5000):
        log.write(f"line {number:05}\n".encode())
    lines = told(await followed(deployment, headers={"Last-Event-ID": "0=1100"}))
    assert lines[0].endswith("bytes are not kept any more]")
    assert lines[-1] == "line 04999"
    assert [int(line[5:]) for line in lines[1:]] == list(range(5000 - len(lines) + 1, 5000))


async def test_the_end_of_a_log_is_kept_and_goes_on_when_the_instance_comes_again(
    *, world, live, instance, settings, followed
):
    deployment = await live()
    kept = KeptLogs(settings.data_dir / "logs" / "instances")
    log = instance(deployment)
    for number in range(60_000):
        log.write(f"line {number:05}\n".encode())
    folder = InstanceFolder(settings.data_dir / "instances" / f"{deployment}-0")
    url = f"/deployments/{deployment}/logs"
    before = (await world.developer.get(f"{url}?limit=5000")).json()["data"]
    kept.keep(folder)
    kept.keep(folder)  # it was interrupted before the folder was removed
    folder.remove()
    after = (await world.developer.get(f"{url}?limit=5000")).json()["data"]
    assert after == before
    everything = sum(path.stat().st_size for path in (kept.root / deployment).iterdir())
    assert KEPT_BYTES < everything < KEPT_BYTES + 64 * 1024
    kept.give_back(folder, deployment)
    instance(deployment).write(b"again\n")
    assert texts(await world.developer.get(f"{url}?limit=2")) == ["line 59999", "again"]
    mark = await followed(deployment, headers={"Last-Event-ID": f"0={60_000 * 11 - 11}"})
    assert told(mark) == ["line 59999", "again"]


async def test_the_log_of_an_instance_that_came_again_and_never_began_is_kept_where_it_was(
    *, world, live, instance, settings
):
    deployment = await live()
    kept = KeptLogs(settings.data_dir / "logs" / "instances")
    log = instance(deployment)
    for number in range(40_000):
        log.write(f"line {number:05}\n".encode())
    folder = InstanceFolder(settings.data_dir / "instances" / f"{deployment}-0")
    record = folder.record()
    kept.keep(folder)
    folder.remove()
    kept.give_back(folder, deployment)
    folder.write(record)  # its room is reserved, its shim is not started
    kept.keep(folder)
    folder.remove()
    assert RotatedLog(kept.root / deployment / f"{deployment}-0.log").bounds()[1] == 40_000 * 11
    assert texts(await world.developer.get(f"/deployments/{deployment}/logs?limit=1")) == ["line 39999"]
