"""Limits as callers meet them: by key and organization and plan, by address, with their headers and their 429."""

import asyncio
import math
import re
import time
from collections import Counter
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx2
import pytest

from api.app import create_app
from api.rate_limits.sensitive_limits import INVITATIONS
from domain.permissions import Role
from runtime.limiting import redis as redis_module
from tests.api.conftest import BASE_URL, Caller
from tests.api.oauth.conftest import FORM
from tests.support.redis_server import RedisServer

# A list of strings with integer parameters (RFC 9651), as the draft has it.
ITEM = r'"[a-z-]+"(;[a-z]+=\d+)+'
LIST = re.compile(rf"{ITEM}(, {ITEM})*")
NAMES = ["minute", "hour", "day", "organization-minute", "organization-hour", "organization-day"]


@pytest.fixture
def serving(settings, recorder):
    """Makes an API process with other settings."""

    @asynccontextmanager
    async def make(**changes):
        made = type(settings).model_validate({**settings.model_dump(), **changes})
        app = create_app(made, make_operations=lambda _: recorder)
        async with app.router.lifespan_context(app):
            yield app

    return make


@pytest.fixture
async def fresh(app, serving):
    """An API process of its own, that has counted nothing yet."""
    async with serving() as made:
        yield made


@pytest.fixture
async def free(platform):
    """A new organization on the plan free."""
    slug = f"free-{time.monotonic_ns()}"
    return await platform.made("/organizations", {"name": "Free", "slug": slug})


def parsed(header: str) -> dict[str, dict[str, int]]:
    assert LIST.fullmatch(header), header
    found = {}
    for item in header.split(", "):
        name, *parameters = item.split(";")
        found[name.strip('"')] = {key: int(value) for key, _, value in (one.partition("=") for one in parameters)}
    return found


def stranger(app, client: tuple[str, int] = ("203.0.113.7", 1), **headers: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, client=client)
    return httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)


async def test_every_answer_says_what_is_left(fresh, settings, free):
    member = Caller(fresh, settings, Role.DEVELOPER, free["id"])
    for used, path in enumerate(("/organizations", "/nowhere", "/organizations?page=0", f"/projects/{free['id']}"), 1):
        headers = (await member.get(path)).headers
        assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("100", str(100 - used))
        assert 0 < int(headers["x-ratelimit-reset"]) - time.time() <= 61
        policy, state = parsed(headers["ratelimit-policy"]), parsed(headers["ratelimit"])
        assert list(policy) == list(state) == NAMES
        assert policy["hour"] == policy["organization-hour"] == {"q": 1000, "w": 3600}
        assert policy["day"] == {"q": 10_000, "w": 86_400}
        assert state["day"]["r"] == 10_000 - used
        assert 0 < state["minute"]["t"] <= 60


async def test_of_many_at_once_exactly_as_many_pass_as_the_plan_allows_and_the_rest_is_the_contracts_429(
    fresh, settings, free
):
    member = Caller(fresh, settings, Role.DEVELOPER, free["id"])
    answers = await asyncio.gather(*(member.get("/organizations") for _ in range(150)))
    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 50}
    refused = next(answer for answer in answers if answer.status_code == 429)
    seconds = int(refused.headers["retry-after"])
    assert 0 < seconds <= 60
    body, meta = refused.json(), refused.json()["meta"]
    assert body["error"] == {
        "code": "RATE_LIMIT_EXCEEDED",
        "message": f"You have exceeded the rate limit. Please retry after {seconds} seconds.",
    }
    assert (body["success"], body["status"], meta["retry_after"]) == (False, 429, seconds)
    resets_at = datetime.fromisoformat(meta["limit_resets_at"])
    assert abs(resets_at - datetime.fromisoformat(meta["timestamp"]) - timedelta(seconds=seconds)).total_seconds() < 5
    assert meta["limit_resets_at"].endswith("Z")
    assert abs(int(refused.headers["x-ratelimit-reset"]) - math.ceil(resets_at.timestamp())) <= 1
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert meta["request_id"] == refused.headers["x-request-id"]
    problem = await member.get("/organizations", headers={"Accept": "application/problem+json"})
    assert (problem.json()["status"], problem.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert problem.headers["retry-after"]


async def test_an_organization_is_counted_as_a_whole_whoever_asks(fresh, settings, free):
    one, other = (Caller(fresh, settings, Role.DEVELOPER, free["id"]) for _ in range(2))
    for _ in range(60):
        assert (await one.get("/organizations")).status_code == 200
    answers = [await other.get("/organizations") for _ in range(41)]
    assert [answer.status_code for answer in answers] == [200] * 40 + [429]
    state = parsed(answers[-1].headers["ratelimit"])
    assert (state["minute"]["r"], state["organization-minute"]["r"]) == (60, 0)


async def test_a_key_has_a_limit_of_its_own_that_leaves_the_others_alone(fresh, settings, free):
    admin = Caller(fresh, settings, Role.ADMIN, free["id"])
    path = f"/organizations/{free['id']}/api-keys"
    body = {"name": "narrow", "scopes": ["organizations:read"], "requests_per_minute": 3}
    key = (await admin.made(path, body))["key"]
    async with stranger(fresh, **{"X-API-Key": key}) as client:
        answers = [await client.get("/v1/organizations") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit"] == "3"
    assert (await admin.get("/organizations")).status_code == 200


async def test_another_plan_holds_at_once_and_enterprise_has_its_own_numbers(fresh, settings, free, platform):
    member, path = Caller(fresh, settings, Role.ADMIN, free["id"]), f"/organizations/{free['id']}"

    async def limit() -> str:
        return (await member.get("/organizations")).headers["x-ratelimit-limit"]

    async def becomes(wanted: str) -> None:
        async with asyncio.timeout(120):
            while await limit() != wanted:  # noqa: ASYNC110 - what another process does gives no event
                await asyncio.sleep(0.02)

    assert await limit() == "100"
    assert (await member.patch(path, {"requests_per_minute": 999})).status_code == 403
    await platform.patch(path, {"plan": "professional"})
    await becomes("1000")
    await platform.patch(path, {"plan": "enterprise", "requests_per_minute": 4321})
    await becomes("4321")
    changed = (await platform.patch(path, {"requests_per_minute": None})).json()["data"]
    assert changed["requests_per_minute"] is None
    await becomes("10000")


async def test_strangers_are_counted_by_address_and_so_are_bad_credentials(serving):
    async with serving(anonymous_limit=3) as app:
        async with stranger(app) as client:
            tried = [await client.get("/v1/organizations", headers={"Authorization": "Bearer x"}) for _ in range(4)]
        assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
        assert parsed(tried[0].headers["ratelimit-policy"]) == {"address-minute": {"q": 3, "w": 60}}
        async with stranger(app, ("203.0.113.8", 1), **{"X-Forwarded-For": "203.0.113.7"}) as client:
            assert (await client.get("/v1/organizations")).status_code == 401, "nobody says where they come from"


async def test_one_customer_of_a_provider_has_one_limit(serving):
    async with serving(anonymous_limit=1) as app:
        statuses = []
        for address in ("2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:3::1"):
            async with stranger(app, (address, 1)) as client:
                statuses.append((await client.get("/v1/organizations")).status_code)
    assert statuses == [401, 429, 401]


async def test_health_and_documents_are_not_counted(serving):
    async with serving(anonymous_limit=1) as app, stranger(app) as client:
        for path in (
            "/health",
            "/livez",
            "/readyz",
            "/docs",
            "/v1/health",
            "/v1/openapi.json",
            "/postman-collection.json",
            "/redoc",
        ):
            for _ in range(2):
                answer = await client.get(path)
                assert answer.status_code == 200, path
                assert "x-ratelimit-limit" not in answer.headers


async def test_platform_admins_have_a_number_of_their_own(serving, settings):
    async with serving(platform_limit=2) as app:
        boss = Caller(app, settings, Role.PLATFORM_ADMIN)
        answers = [await boss.get("/organizations") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert parsed(answers[0].headers["ratelimit-policy"]) == {"platform-minute": {"q": 2, "w": 60}}


async def test_limits_can_be_switched_off(serving, settings, free):
    async with serving(rate_limits="off", anonymous_limit=1) as app:
        member = Caller(app, settings, Role.DEVELOPER, free["id"])
        answers = [await member.get("/organizations") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "ratelimit" not in answers[0].headers


async def test_two_processes_count_together_in_redis_and_serve_on_without_it(
    *, serving, settings, free, short_dir, monkeypatch
):
    monkeypatch.setattr(redis_module, "ANSWER_LIMIT_S", 30.0)  # a busy machine may keep an answer for longer
    folder = short_dir / "api-redis"
    folder.mkdir()
    redis = RedisServer(folder)
    redis.start()
    changes = {"redis_url": redis.url, "api_processes": 2}
    try:
        async with serving(**changes) as one, serving(**changes) as other:
            members = [Caller(app, settings, Role.DEVELOPER, free["id"]) for app in (one, other)]
            answers = await asyncio.gather(*(member.get("/organizations") for _ in range(75) for member in members))
            assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 50}
            assert (await members[0].get("/health")).json()["services"]["cache"] == "healthy"
            redis.stop()
            served = await members[1].get("/organizations")
            assert served.status_code == 200
            assert "ratelimit" not in served.headers
            seen = await members[1].get("/health")
            assert (seen.status_code, seen.json()["status"]) == (200, "degraded")
            assert seen.json()["services"]["cache"] == "degraded"
    finally:
        redis.stop()


async def test_invitations_are_tried_so_often_from_one_address(fresh):
    window = INVITATIONS.windows[0]
    body = {"token": "inv-" + "x" * 43, "name": "x", "password": "correct horse"}

    async def tried(http: httpx2.AsyncClient) -> httpx2.Response:
        return await http.post("/v1/invitations/accept", json=body)

    async with stranger(fresh) as busy, stranger(fresh, ("203.0.113.8", 1)) as other:
        answers = [await tried(busy) for _ in range(window.limit + 1)]
        assert {answer.status_code for answer in answers[:-1]} == {404}
        refused = answers[-1].json()
        assert (refused["status"], refused["error"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(answers[-1].headers["retry-after"]) == refused["meta"]["retry_after"] <= window.seconds
        assert (await tried(other)).status_code == 404


async def test_too_many_requests_are_refused_in_the_format_of_the_endpoint(serving):
    async with serving(anonymous_limit=1) as app, stranger(app) as http:
        await http.get("/nowhere")
        token = await http.post("/oauth/token", content="grant_type=x", headers=FORM)
        assert (token.status_code, token.json()["error"]) == (429, "temporarily_unavailable")
        page = await http.get("/oauth/authorize")
        assert (page.status_code, page.headers["content-type"].split(";")[0]) == (429, "text/html")
        assert int(page.headers["retry-after"]) >= 1
        assert (await http.post("/oauth/introspect", content="token=x", headers=FORM)).status_code == 401
