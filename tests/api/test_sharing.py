"""What many share: no caller, organization or address takes it all, and others go on. Over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from api.app import create_app
from api.http import middleware, streaming
from api.http.uvicorn_protocol import EnvelopedHttp
from domain.permissions import Role
from tests.api.conftest import make_world
from tests.api.people import joined
from tests.support.serving import served
from tests.support.waiting import until

SMALL = {
    "streams_per_caller": 2,
    "streams_per_organization": 3,
    "waits_per_caller": 2,
    "waits_per_organization": 3,
    "exports_per_caller": 1,
    "bodies_per_caller": 4,
}
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
async def small(settings, recorder) -> AsyncIterator[FastAPI]:
    """An application in which little is shared."""
    app = create_app(settings.model_copy(update=SMALL), make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
async def port(small) -> AsyncIterator[int]:
    async with served(small, timeout_graceful_shutdown=1) as port:
        yield port


@pytest.fixture(scope="module")
async def running(platform, caller, build_of):
    """A world in which an operation runs."""
    world = await make_world(platform, caller, "sharing")
    body = {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev"}
    accepted = await world.manager.made(f"/features/{world.feature['id']}/build-and-deploy", body)
    return world, f"/operations/{accepted['operation_id']}"


class Line:
    """A connection of one request, whose answer is read as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.heard = b""

    async def until(self, what: bytes) -> bytes:
        """All that was heard when it was; or until the end."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionResetError):  # the server closes while we still send
                while what not in self.heard and (more := await self.reader.read(65536)):
                    self.heard += more
        return self.heard

    async def rest(self) -> bytes:
        return await self.until(b"nothing that is ever sent")

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    @property
    def status(self) -> int:
        return int(self.heard.split(b" ", 2)[1])


async def line(port: int, head: str, body: bytes = b"") -> Line:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
    await writer.drain()
    return Line(reader, writer)


async def asked(port: int, path: str, headers: dict[str, str]) -> Line:
    told = "".join(f"{name}: {value}\n" for name, value in headers.items())
    return await line(port, f"GET /v1{path} HTTP/1.1\nHost: a\n{told}")


def bearer(who: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {who.token}"}


@asynccontextmanager
async def lines() -> AsyncIterator[list[Line]]:
    """Closed in the end."""
    held: list[Line] = []
    try:
        yield held
    finally:
        await asyncio.gather(*(one.close() for one in held))


def refused(heard: bytes) -> dict[str, Any]:
    """The body of a 429 that says when to come again, and what to do."""
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 "), heard
    assert b"\r\nretry-after: " in head.lower()
    told = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
    assert told["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    return told["error"]


async def test_one_viewer_does_not_hold_all_event_streams(port, caller, running, other_world, build_of):
    world, path = running
    viewer, colleague, third = (caller(Role.VIEWER, world.org["id"]) for _ in range(3))
    async with lines() as held:
        for _ in range(2):
            held.append(await asked(port, path + "/events", bearer(viewer)))
            assert b"event: progress" in await held[-1].until(b"event: progress")
        more = await asked(port, path + "/events", bearer(viewer))
        assert "end one" in refused(await more.until(b"}}"))["message"]
        held.append(await asked(port, path + "/events", bearer(colleague)))
        await held[-1].until(b"event: progress")
        of_organization = await asked(port, path + "/events", bearer(third))
        assert "organization" in refused(await of_organization.until(b"}}"))["message"]
        held += [more, of_organization]
        other = await build_of(other_world, "7.7.7", live=False)
        stranger = caller(Role.VIEWER, other_world.org["id"])
        held.append(await asked(port, f"/operations/{other['operation_id']}/events", bearer(stranger)))
        assert b"event: progress" in await held[-1].until(b"event: progress")
    async with asyncio.timeout(PATIENCE_S):
        while True:  # who hung up has given the place back
            again = await asked(port, path + "/events", bearer(viewer))
            heard = await again.until(b"\r\n\r\n")
            await again.close()
            if b" 200 OK" in heard:
                return
            await asyncio.sleep(0.1)


async def test_one_viewer_does_not_follow_all_logs(port, small, caller, running):
    world, path = running
    viewer = caller(Role.VIEWER, world.org["id"])
    async with lines() as held:
        for _ in range(2):
            held.append(await asked(port, path + "/logs?follow=true", bearer(viewer)))
            await held[-1].until(b"retry: ")
        more = await asked(port, path + "/logs?follow=true", bearer(viewer))
        held.append(more)
        assert "without follow" in refused(await more.until(b"}}"))["message"]
    await until(lambda: small.state.parts.places.logs.is_empty)


async def test_who_reads_nothing_of_a_log_is_left_and_others_go_on(*, port, small, caller, running, monkeypatch):
    monkeypatch.setattr(streaming, "SEND_LIMIT_S", 0.5)
    world, path = running
    folder = small.state.parts.settings.data_dir / "logs" / path[1:]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "build.log").write_bytes((b"x" * 999 + b"\n") * 8_000)
    idle, reader = caller(Role.VIEWER, world.org["id"]), caller(Role.VIEWER, world.org["id"])
    async with lines() as held:
        held.append(await asked(port, path + "/logs?follow=true", bearer(idle)))
        held.append(await asked(port, path + "/logs?follow=true", bearer(reader)))
        heard = await held[-1].until(f'"id: 0.{8_000_000}.0.0'.encode()[1:])
        assert heard.count(b"x" * 999) == 8_000
        await until(lambda: small.state.parts.places.logs._taken["all"] == 1)
    (folder / "build.log").unlink()


async def test_one_viewer_does_not_hold_all_waiting_requests(port, caller, running):
    world, path = running
    viewer = caller(Role.VIEWER, world.org["id"])
    async with lines() as held:
        for _ in range(2):
            held.append(await asked(port, path + "?wait=60", bearer(viewer)))
        await asyncio.sleep(0)
        held.append(await asked(port, path + "?wait=60", bearer(viewer)))
        answered = [asyncio.create_task(one.until(b"}}")) for one in held]
        done, pending = await asyncio.wait(answered, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert "without wait" in refused(done.pop().result())["message"]
        assert len(pending) == 2
        plain = await asked(port, path, bearer(viewer))
        assert b" 200 OK" in await plain.until(b"}}")
        held.append(plain)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def slow(path: str, *, length: int, headers: str = "") -> str:
    return (
        f"POST /v1{path} HTTP/1.1\nHost: a\nContent-Type: application/json\nContent-Length: {length}\n"
        f"Connection: close\n{headers}"
    )


async def test_one_anonymous_address_does_not_hold_all_requests_with_slow_bodies(port, caller, world):
    async with lines() as held:
        held += [await line(port, slow("/organizations", length=100), b"{") for _ in range(40)]
        endings = [asyncio.create_task(one.rest()) for one in held]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            for _ in range(3):
                assert (await http.get("/livez")).status_code == 200
                assert (await http.get("/health")).status_code == 200
                path = f"/v1/projects/{world.project['id']}/requirements"
                body = {"title": "Sell more", "description": "...", "acceptance_criteria": ["It sells"]}
                assert (await http.post(path, json=body, headers=bearer(world.developer))).status_code == 201
                await asyncio.sleep(0.5)
        await asyncio.gather(*endings)
        statuses = sorted(one.status for one in held)
        assert statuses == [408] * 4 + [429] * 36
        assert "send each at once" in refused(next(one.heard for one in held if one.status == 429))["message"]


async def test_a_caller_with_good_credentials_has_a_share_of_slow_bodies_too(port, caller, world):
    token = "".join(f"{name}: {value}\n" for name, value in bearer(world.developer).items())
    head = slow(f"/projects/{world.project['id']}/requirements", length=100, headers=token)
    async with lines() as held:
        held += [await line(port, head, b"{") for _ in range(8)]
        await asyncio.gather(*(one.rest() for one in held))
        assert sorted(one.status for one in held) == [408] * 4 + [429] * 4


async def test_a_body_has_to_arrive_at_a_pace(port, world, monkeypatch):
    monkeypatch.setattr(middleware, "BODY_GRACE_S", 0.3)
    token = "".join(f"{name}: {value}\n" for name, value in bearer(world.developer).items())
    head = slow(f"/projects/{world.project['id']}/requirements", length=1000, headers=token)
    async with lines() as held:
        held.append(await line(port, head, b"{"))
        answered = asyncio.create_task(held[0].rest())
        async with asyncio.timeout(PATIENCE_S):
            while not answered.done():  # a byte now and then keeps nothing open
                held[0].writer.write(b" ")
                await asyncio.sleep(0.05)
        assert held[0].status == 408
        assert b"KiB a second" in held[0].heard


async def test_one_address_does_not_hold_all_connections():
    class Few(EnvelopedHttp):
        per_address = 4

    async with served(Response("fine"), http=Few) as port, lines() as held:
        held += [await line(port, "GET /") for _ in range(4)]  # heads without an end
        await asyncio.sleep(0.1)
        crowded = await line(port, "GET / HTTP/1.1\nHost: a\n")
        assert "4 connections" in refused(await crowded.rest())["message"]
        alive = await line(port, "GET /livez HTTP/1.1\nHost: a\nConnection: close\n")
        assert b" 200 OK" in await alive.rest()
        held += [crowded, alive]
        held += [await line(port, "GET /") for _ in range(2)]
        refused(await held[-1].rest())  # far beyond: nobody waits for its head
        await asyncio.gather(*(one.close() for one in held[:3]))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                held.append(await line(port, "GET / HTTP/1.1\nHost: a\nConnection: close\n"))
                if b" 200 OK" in await held[-1].rest():
                    return
                await asyncio.sleep(0.1)


async def test_who_lost_access_reads_no_further(port, small, platform, caller, running):
    """Streams and waiting requests of a removed member, of a revoked key and of a lesser token end in seconds."""
    world, path = running
    org = world.org["id"]
    member = await joined(platform, org, "leaver@example.com")
    leaver = caller(Role.VIEWER, org, subject=member["id"])
    admin = await joined(platform, org, "keys@example.com", role="admin")
    maker = caller(Role.ADMIN, org, subject=admin["id"])
    key = await maker.made(f"/organizations/{org}/api-keys", {"name": "ci", "scopes": ["operations:read"]})
    by_key = {"X-API-Key": key["key"]}
    async with lines() as held:
        streams = [await asked(port, path + "/events", headers) for headers in (bearer(leaver), by_key)]
        logs = [await asked(port, path + "/logs?follow=true", headers) for headers in (bearer(leaver), by_key)]
        waits = [await asked(port, path + "?wait=60", headers) for headers in (bearer(leaver), by_key)]
        held += [*streams, *logs, *waits]
        for stream in streams:
            await stream.until(b"event: progress")
        for log in logs:
            await log.until(b"retry: ")
        assert (await platform.http.delete(f"/organizations/{org}/members/{member['id']}")).status_code == 204
        assert (await maker.http.delete(f"/organizations/{org}/api-keys/{key['id']}")).status_code == 204
        for stream in (*streams, *logs):
            heard = await stream.until(b"0\r\n\r\n")
            assert heard.count(b"event: closed") == 1
            told = json.loads(heard.split(b"event: closed\ndata: ")[1].split(b"\n\n")[0])
            assert told["code"] == "AUTHENTICATION_FAILED"
            assert "revoked" in told["message"]
        for wait in waits:
            assert b" 401 " in await wait.until(b"}}")
    places = small.state.parts.places
    await until(lambda: places.streams.is_empty and places.logs.is_empty)


async def test_one_caller_makes_one_export_at_a_time(small, running, platform, caller, port):
    world, _ = running
    org = world.org["id"]
    member = await joined(platform, org, "auditor@example.com", role="admin")
    auditor = caller(Role.ADMIN, org, subject=member["id"])
    places = small.state.parts.places.exports
    path = f"/organizations/{org}/audit-log/export"
    principal = small.state.parts.verifier.verify(auditor.token)
    with places.held(principal):
        async with lines() as held:
            held.append(await asked(port, path, bearer(auditor)))
            assert "exports" in refused(await held[0].until(b"}}"))["message"]
    async with lines() as held:
        held.append(await asked(port, path, bearer(auditor)))
        heard = await held[0].until(b"0\r\n\r\n")
        assert b" 200 OK" in heard
        assert b'"error"' not in heard.splitlines()[-3]
    await until(lambda: places.is_empty)
