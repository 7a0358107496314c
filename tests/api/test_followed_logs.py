"""Logs of builds and operations, followed by server-sent events."""

import asyncio
import itertools
import json
from pathlib import Path
from uuid import UUID

import pytest

from api.services.logs import follow
from api.services.logs.steps import BEGINNING
from domain.errors import NotFoundError
from domain.lifecycle import OperationStatus
from runtime.settings import Settings
from storage.engine import transaction
from storage.models import Operation
from tests.support.waiting import until

BODY = {"git_branch": "main", "environment": "dev", "deployment_strategy": "rolling"}
NUMBER = itertools.count(1)
SECRET = "s3cret-of-a-service"


def events_of(text: str) -> list[dict[str, str]]:
    """The events of a stream, as a client sees them."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append(fields)
    return found


def lines_of(text: str) -> list[tuple[str, str]]:
    data = [json.loads(each["data"]) for each in events_of(text) if each["event"] == "log"]
    return [(line["step"], line["text"]) for piece in data for line in piece["lines"]]


@pytest.fixture
def folder(settings: Settings):
    def of(operation_id: str) -> Path:
        path = settings.data_dir / "logs" / "operations" / operation_id
        path.mkdir(parents=True, exist_ok=True)
        return path

    return of


@pytest.fixture
async def built(world, build_of, folder):
    """A build with logs, whose operation is over."""

    async def make(version: str = "") -> dict[str, str]:
        made = await build_of(world, version or f"70.0.{next(NUMBER)}")
        path = folder(made["operation_id"])
        (path / "source.log").write_text("https://git.example.com main abc\n")
        (path / "build.log").write_bytes(b"$ make\ndone\xff\x00\x1b[31m \r\n")
        return made

    return make


async def test_a_log_that_is_over_is_told_with_its_end(world, built):
    made = await built("70.1.0")
    for path, status in (
        (f"/builds/{made['build_id']}", "success"),
        (f"/operations/{made['operation_id']}", "completed"),
    ):
        answer = await world.developer.get(f"{path}/logs?follow=true")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert lines_of(answer.text) == [
            ("source", "https://git.example.com main abc"),
            ("build", "$ make"),
            ("build", "done\ufffd\ufffd\x1b[31m "),
        ]
        told = events_of(answer.text)
        assert [each["event"] for each in told] == ["log", "end"]
        assert json.loads(told[-1]["data"]) == {"status": status}
        after = {"Last-Event-ID": told[-1]["id"]}
        assert (await world.developer.get(f"{path}/logs?follow=true", headers=after)).status_code == 204
        only = await world.developer.get(f"{path}/logs?follow=true&step=source")
        assert lines_of(only.text) == [("source", "https://git.example.com main abc")]


async def test_who_goes_on_gets_what_is_behind_the_last_event(world, built, folder):
    made = await built("70.2.0")
    url = f"/builds/{made['build_id']}/logs?follow=true"
    first = (await world.developer.get(url)).text
    with (folder(made["operation_id"]) / "build.log").open("ab") as log:
        log.write(b"more\nno line feed")
    headers = {"Last-Event-ID": events_of(first)[0]["id"]}
    async with asyncio.timeout(120):
        while not (again := lines_of((await world.developer.get(url, headers=headers)).text)):  # noqa: ASYNC110 - no event
            await asyncio.sleep(follow.LOOK_EVERY_S)  # what was told is kept for a moment
    assert again == [("build", "more"), ("build", "no line feed")]
    for odd in ("x", "1.2", "9" * 400, "1.1.1.1.1.1", "\u00b9.0.0.0.0"):
        whole = await world.developer.get(url, headers={"Last-Event-ID": odd.encode("latin-1")})
        assert len(lines_of(whole.text)) == 5, odd


async def test_a_follower_hears_what_is_written_while_it_waits_until_the_end(world, folder, rows, app):
    accepted = await world.developer.made(
        f"/features/{world.feature['id']}/build-and-deploy", {**BODY, "version_tag": "70.3.0"}
    )
    path = folder(accepted["operation_id"])
    url = f"/operations/{accepted['operation_id']}/logs?follow=true"
    followers = [asyncio.create_task(world.developer.get(url)) for _ in range(3)]
    await until(lambda: not app.state.parts.places.logs.is_empty)
    (path / "source.log").write_text("fetched\n")
    (path / "build.log").write_text("half a li")
    await asyncio.sleep(2 * follow.LOOK_EVERY_S)
    with (path / "build.log").open("a") as log:
        log.write("ne\n")
    async with transaction(rows) as session:
        (await session.get_one(Operation, UUID(accepted["operation_id"]))).status = OperationStatus.CANCELLED
    for answer in await asyncio.gather(*followers):
        assert lines_of(answer.text) == [("source", "fetched"), ("build", "half a line")]
        assert json.loads(events_of(answer.text)[-1]["data"]) == {"status": "cancelled"}
    assert app.state.parts.places.logs.is_empty


async def test_many_followers_cost_the_reads_of_one(world, folder, rows, app, monkeypatch):
    accepted = await world.developer.made(
        f"/features/{world.feature['id']}/build-and-deploy", {**BODY, "version_tag": "70.4.0"}
    )
    (folder(accepted["operation_id"]) / "source.log").write_text("fetched\n")
    steps, asked, places = app.state.parts.logs.steps, [], []
    ask, read = steps.at, steps._read

    async def asking(place):
        asked.append(place.mark)
        return await ask(place)

    async def counted(place):
        places.append(place.mark)
        return await read(place)

    monkeypatch.setattr(steps, "at", asking)
    monkeypatch.setattr(steps._pieces, "_read", counted)
    # However slow the machine is: what was read is kept until all of them have asked for it.
    monkeypatch.setattr(steps._pieces._answers, "_keep_s", 3600)
    url = f"/operations/{accepted['operation_id']}/logs?follow=true"
    followers = [asyncio.create_task(world.developer.get(url)) for _ in range(15)]
    await until(lambda: asked.count(BEGINNING) == 15 and len(asked) >= 45)
    assert places == [BEGINNING, "8.0.0.0.0"]
    async with transaction(rows) as session:
        (await session.get_one(Operation, UUID(accepted["operation_id"]))).status = OperationStatus.FAILED
    monkeypatch.setattr(steps._pieces._answers, "_keep_s", follow.LOOK_EVERY_S)
    steps._pieces._answers._answers.clear()
    assert {len(lines_of(answer.text)) for answer in await asyncio.gather(*followers)} == {1}


async def test_a_line_of_ten_megabytes_is_cut_with_a_note(world, built, folder):
    made = await built("70.5.0")
    (folder(made["operation_id"]) / "test.log").write_bytes(b"x" * 10_000_000 + b"\nafter it\n")
    answer = await world.developer.get(f"/builds/{made['build_id']}/logs?follow=true&step=test")
    (_, long), (_, after) = lines_of(answer.text)
    assert (long.rstrip("x"), after) == (long, "after it")
    assert long.endswith("[... cut: the line is longer than 16 KiB]")
    assert len(answer.content) < 40_000


@pytest.fixture
async def secret(world, platform, app):
    """A secret of the project, known to whoever reads logs from now on: which there are is kept for a moment."""
    body = {"name": "TOKEN", "kind": "service_env", "value": SECRET}
    made = await platform.made(f"/projects/{world.project['id']}/secrets", body)
    app.state.parts.logs.steps._masks._answers.forget(UUID(world.project["id"]))
    yield SECRET
    assert (await platform.http.delete(f"/projects/{world.project['id']}/secrets/{made['id']}")).status_code < 300


@pytest.mark.usefixtures("secret")
async def test_a_secret_is_masked_in_bytes_too_wherever_they_are_cut(world, built, folder):
    made = await built("70.9.0")
    text = f"$ make\n{SECRET} and {SECRET}\nunfinished {SECRET[:9]}".encode()
    (folder(made["operation_id"]) / "build.log").write_bytes(text)
    stars = text.replace(SECRET.encode(), b"*" * len(SECRET)).replace(SECRET[:9].encode(), b"*" * 9)
    for path in (f"/builds/{made['build_id']}", f"/operations/{made['operation_id']}"):
        for limit in (7, 1000):
            offset, got = 0, b""
            while piece := await world.developer.get(f"{path}/logs?step=build&offset={offset}&limit={limit}"):
                if not piece.content:
                    break
                got, offset = got + piece.content, int(piece.headers["X-Next-Offset"])
            assert got == stars, limit
        whole = (await world.developer.get(f"{path}/logs?offset=8")).content
        assert whole.endswith(b"==> build <==\n" + stars)


async def test_a_log_that_is_gone_is_told_so_to_who_follows_it():
    async def gone(mark: str) -> follow.Told:
        raise NotFoundError("deployment 1 does not exist")

    told = events_of("".join([piece async for piece in follow.followed(gone, "")]))
    assert [each["event"] for each in told] == ["closed"]
    assert json.loads(told[0]["data"])["code"] == "RESOURCE_NOT_FOUND"


@pytest.mark.usefixtures("secret")
async def test_a_secret_is_masked_wherever_a_piece_ends(world, built, folder):
    made = await built("70.6.0")
    padding = follow.PIECE - len(SECRET) // 2
    text = f"{'a' * 9}\n" * (padding // 10) + "b" * (padding % 10) + f"{SECRET}\n" + "c" * 16_380 + f"{SECRET}\n"
    (folder(made["operation_id"]) / "build.log").write_text(text)
    answer = await world.developer.get(f"/builds/{made['build_id']}/logs?follow=true")
    assert len([each for each in events_of(answer.text) if each["event"] == "log"]) > 1
    for part in (SECRET, SECRET[:8], SECRET[-8:]):
        assert part not in answer.text
    assert answer.text.count("***") == 2


async def test_bad_input_and_other_peoples_builds(world, other_world, built):
    made = await built("70.8.0")
    url = f"/builds/{made['build_id']}/logs"
    for query, field in (
        ("follow=true&offset=5", "offset"),
        ("follow=true&limit=5", "limit"),
        ("follow=maybe", "follow"),
    ):
        answer = await world.developer.get(f"{url}?{query}")
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (400, field)
    assert (await other_world.developer.get(f"{url}?follow=true")).status_code == 404
