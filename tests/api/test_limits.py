"""Too slow, too many, cut off, unknown: refused in the envelope, and nothing is done by half."""

import asyncio

import httpx2
import pytest
from fastapi import Request
from starlette.responses import Response

from api.http import middleware, streaming
from api.http.middleware import BodyGuard, Overload, RequestContext
from api.http.streaming import EventStream, unless_gone
from tests.api.conftest import BASE_URL
from tests.api.http.test_errors import check_error

JSON = {"Content-Type": "application/json"}


def client(app) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL)


async def test_a_stranger_hears_nothing_about_a_broken_body(app, platform):
    async with client(app) as stranger:
        response = await stranger.post("/v1/organizations", content=b"{", headers=JSON)
        check_error(response, 401, "AUTHENTICATION_FAILED")
        assert "bearer" in response.headers["www-authenticate"].lower()
        check_error(await stranger.post("/v1/organizations", json={"slug": 1}), 401, "AUTHENTICATION_FAILED")
    known = await platform.http.post("/organizations", content=b"{", headers=JSON)
    check_error(known, 400, "VALIDATION_ERROR")


ODD = {
    "deep": b'{"name":' + b"[" * 100_000,
    "deep and closed": b'{"name":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number of 5000 digits": b'{"name":"abc","slug":"odd","max_users":' + b"9" * 5000 + b"}",
    "a number of 30 digits": b'{"name":"abc","slug":"odd","max_users":' + b"9" * 30 + b"}",
    "a number without an end": b'{"name":"abc","slug":"odd","max_users":1e999}',
}


@pytest.mark.parametrize("name", ODD)
async def test_json_made_to_hurt_is_400(platform, name):
    check_error(await platform.http.post("/organizations", content=ODD[name], headers=JSON), 400, "VALIDATION_ERROR")


async def test_a_compressed_body_is_not_unpacked(platform):
    headers = {**JSON, "Content-Encoding": "gzip"}
    response = await platform.http.post("/organizations", content=b"\x1f\x8b", headers=headers)
    check_error(response, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_more_headers_than_anybody_needs_are_431(platform):
    check_error(
        await platform.get("/organizations", headers={f"x-{n}": "1" for n in range(100)}), 431, "PAYLOAD_TOO_LARGE"
    )


async def test_a_slow_body_is_408(app, platform, monkeypatch):
    monkeypatch.setattr(middleware, "BODY_LIMIT_S", 0.05)

    async def trickle():
        yield b"{"
        await asyncio.sleep(0.5)
        yield b"}"

    response = await platform.http.post("/organizations", content=trickle(), headers=JSON)
    check_error(response, 408, "TIMEOUT")
    assert response.headers["connection"] == "close"


async def test_a_body_that_is_cut_off_does_nothing():
    done = []

    async def inner(scope, receive, send):
        done.append(scope)

    messages = iter([{"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(messages)

    async def send(message):
        done.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    await BodyGuard(inner)(scope, receive, send)
    assert done == []


async def test_too_much_at_once_is_503_with_retry_after():
    entered, go = asyncio.Event(), asyncio.Event()

    async def slow(scope, receive, send):
        if scope["path"] == "/slow":
            entered.set()
            await go.wait()
        await Response("done")(scope, receive, send)

    async with client(RequestContext(Overload(slow, limit=1))) as http:
        first = asyncio.create_task(http.get("/slow"))
        await asyncio.wait_for(entered.wait(), 120)
        refused = await http.get("/other")
        check_error(refused, 503, "SERVICE_UNAVAILABLE")
        assert refused.headers["retry-after"] == "1"
        assert (await http.get("/livez")).status_code == 200
        go.set()
        assert (await first).text == "done"
        assert (await http.get("/other")).status_code == 200


async def test_a_reader_that_takes_nothing_is_left_in_time(monkeypatch):
    monkeypatch.setattr(streaming, "SEND_LIMIT_S", 0.05)
    made = []

    async def events():
        try:
            for number in range(1000):
                made.append(number)
                yield f"id: {number}\n\n"
        finally:
            made.append("closed")

    async def send(message):
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive():
        await asyncio.Event().wait()

    body = events()
    await asyncio.wait_for(EventStream(body)({"type": "http"}, receive, send), 120)
    assert made == [0]
    await body.aclose()
    assert made == [0, "closed"]


@pytest.mark.parametrize("leaves", [True, False])
async def test_nothing_waits_for_a_client_that_has_gone(leaves):
    ended = asyncio.Event()

    async def receive():
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def work():
        try:
            await asyncio.sleep(3600 if leaves else 0)
        finally:
            ended.set()
        return "answer"

    request = Request({"type": "http", "headers": []}, receive)
    assert await asyncio.wait_for(unless_gone(request, work()), 120) == (None if leaves else "answer")
    assert ended.is_set()
