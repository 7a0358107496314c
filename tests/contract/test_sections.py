"""The contract's sections that have no endpoint of their own, on the running API; and that none is left out."""

import asyncio
import hashlib
import hmac
import json
import re
from datetime import date, datetime
from pathlib import Path

import httpx2
import yaml
from fastapi import APIRouter, Request, Response

from api.app import create_app
from api.http import envelope
from api.http.deprecation import Deprecation, mark
from domain.events import EventType
from domain.permissions import Role
from domain.rate_limits import PLANS, Plan
from events.delivery_attempt import body_of
from events.signing import PREFIX, signatures
from runtime.ids import new_id, now
from storage.repositories.webhook_claims import Claim
from tests.api.conftest import BASE_URL
from tests.contract import sections
from tests.contract.comparing import differences
from tests.contract.parsing import block_after, endpoints, json_after, text


def stranger(app, **headers: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL, headers=headers)


def test_every_section_of_the_contract_is_shown_by_a_test():
    names = {endpoint.name for endpoint in endpoints() if endpoint.summary}
    assert set(sections.headings()) == sections.SHOWN_BY.keys() | names


def test_the_tests_that_show_a_section_exist():
    written = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for name in (name for tests in sections.SHOWN_BY.values() for name in tests):
        assert f"def {name}(" in written, name


async def test_callers_have_a_token_or_a_key(app, caller, world):
    path = f"/v1/projects/{world.project['id']}"
    admin = caller(Role.ADMIN, world.org["id"])
    keys = f"/organizations/{world.org['id']}/api-keys"
    made = await admin.made(keys, {"name": "program", "scopes": ["projects:read"]})
    for headers, status in (
        ({"Authorization": f"Bearer {world.developer.token}"}, 200),
        ({"X-API-Key": made["key"]}, 200),
        ({}, 401),
    ):
        async with stranger(app, **headers) as http:
            assert (await http.get(path)).status_code == status
    await admin.http.delete(f"{keys}/{made['id']}")
    async with stranger(app, **{"X-API-Key": made["key"]}) as http, asyncio.timeout(120):
        # Within a second, as docs/api-keys.md says, where the machine is not busy.
        while (await http.get(path)).status_code != 401:  # noqa: ASYNC110 - the API process sets no event for us
            await asyncio.sleep(0.05)


async def test_tokens_come_by_the_three_flows(app):
    async with stranger(app) as http:
        told = (await http.get("/.well-known/oauth-authorization-server")).json()
        assert set(told["grant_types_supported"]) >= {"authorization_code", "client_credentials", "refresh_token"}
        assert (await http.get(told["jwks_uri"])).json()["keys"][0]["alg"] == "RS256"


async def test_answers_say_what_is_left_of_the_plan(world):
    expected = yaml.safe_load(block_after("Rate Limit Headers"))
    first, second = [(await world.developer.get("/organizations")).headers for _ in range(2)]
    for name in expected["Response Headers"]:
        assert first[name].isdecimal()
    assert int(second["X-RateLimit-Remaining"]) < int(first["X-RateLimit-Remaining"])
    for words, plan in (("Free Tier", Plan.FREE), ("Professional", Plan.PROFESSIONAL)):
        ours = PLANS[plan]
        told = [int(text.split()[0].replace(",", "")) for text in expected["Rate Limits"][words]]
        assert told == [ours.per_minute, ours.per_hour, ours.per_day]


async def test_who_asks_too_often_gets_the_contracts_answer(app, caller, world):
    body = {"name": "narrow", "scopes": ["projects:read"], "requests_per_minute": 1}
    admin = caller(Role.ADMIN, world.org["id"])
    key = (await admin.made(f"/organizations/{world.org['id']}/api-keys", body))["key"]
    async with stranger(app, **{"X-API-Key": key}) as http:
        answers = [await http.get(f"/v1/projects/{world.project['id']}") for _ in range(2)]
        while answers[-1].status_code != 429:  # another minute had begun
            answers.append(await http.get(f"/v1/projects/{world.project['id']}"))
    expected, answer = json_after("Rate Limit Error Response"), answers[-1].json()
    wait = answer["meta"]["retry_after"]
    told = {"code": expected["error"]["code"], "message": expected["error"]["message"].replace("60", str(wait))}
    assert differences({**expected, "error": told, "meta": {}}, answer) == []
    assert answer["meta"].keys() >= expected["meta"].keys()
    assert answers[-1].headers["retry-after"] == str(wait)


async def test_the_version_is_the_first_part_of_the_path(app, world):
    told = dict(re.findall(r"^(Current Version|Base URL): (\S+)$", block_after("API Versioning"), re.MULTILINE))
    assert told["Base URL"].endswith(f"/{told['Current Version']}")
    path, headers = f"/projects/{world.project['id']}", {"Authorization": f"Bearer {world.developer.token}"}
    async with stranger(app, **headers) as http:
        assert (await http.get(f"/{told['Current Version']}{path}")).status_code == 200
        for other in ("", "/v0", "/v2"):
            assert (await http.get(f"{other}{path}")).status_code in (404, 410)


async def test_what_is_deprecated_says_so_by_headers(settings, recorder):
    """The contract's own example: `Deprecation` is a date since RFC 9745, `Sunset` one of HTTP (RFC 8594)."""
    router = APIRouter()

    @router.get("/old")
    @Deprecation(since=date(2024, 1, 1), sunset=date(2124, 12, 31), successor="/v2/old")
    async def old(request: Request) -> Response:
        return envelope.reply(request, {})

    app = create_app(settings.model_copy(update={"rate_limits": False}), make_operations=lambda _: recorder)
    mark(router)
    app.include_router(router, prefix="/v1")
    async with stranger(app) as http:
        answer = await http.get("/v1/old")
    assert answer.headers["deprecation"].startswith("@")
    assert answer.headers["sunset"] == "Sun, 31 Dec 2124 00:00:00 GMT"
    assert answer.headers["link"] == f'<{BASE_URL}/v2/old>; rel="successor-version"'
    assert "This endpoint is deprecated" in answer.json()["meta"]["warnings"][0]


async def test_webhooks_are_made_for_every_event_of_the_contract(caller, world):
    named = list(yaml.safe_load(block_after("Supported Events"))["Events"])
    assert len(named) == 7
    assert set(named) <= set(EventType)
    admin = caller(Role.ADMIN, world.org["id"])
    body = {"url": "https://example.com/hook", "events": named}
    made = await admin.made(f"/organizations/{world.org['id']}/webhooks", body)
    assert sorted(made["events"]) == sorted(named)


def test_a_webhook_has_the_body_of_the_contract():
    expected = json_after("Webhook Request Format")
    claim = Claim(
        delivery_id=new_id(),
        endpoint_id=new_id(),
        organization_id=new_id(),
        event_id=new_id(),
        event=expected["event"],
        trigger="event",
        attempts=expected["retry_count"],
        lease=now(),
        url="https://example.com/hook",
        secret=b"",
        previous_secret=None,
        previous_secret_until=None,
        payload=expected["data"],
        occurred_at=datetime.fromisoformat(expected["timestamp"]),
    )
    assert json.loads(body_of(claim)) == {**expected, "event_id": str(claim.event_id)}


def test_a_receiver_verifies_as_the_contract_says():
    """With nothing but its secret, the header and the body."""
    told = yaml.safe_load(block_after("Webhook Signature Verification").partition("\n\n")[0])
    secret, body = PREFIX + "c2VjcmV0", json.dumps(json_after("Webhook Request Format")).encode()
    scheme, _, signature = signatures([secret], new_id(), 1, body)[told["Header"]].partition("=")
    assert f"{scheme}=<hex-encoded-signature>" == told["Format"]
    assert signature == hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def test_the_documents_are_served(app):
    told = text()[text().index("### Interactive API Documentation") :]
    paths = re.findall(r"https://(?:api\.)?example\.com(/\S+)", told)
    assert len(paths) == 3
    async with stranger(app) as http:
        for path in paths:
            assert (await http.get(path)).status_code == 200, path
