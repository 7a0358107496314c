"""Who makes an organization administers it, and makes a few at most; and other things that have a cap."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from api.app import create_app
from api.rate_limits import sensitive_limits
from domain.permissions import Role
from domain.rate_limits import MINUTE_S, RateWindow
from runtime.ids import new_id, now
from runtime.settings import Settings
from storage.engine import transaction
from storage.models import Event, Organization
from tests.api.conftest import Caller, make_world
from tests.api.http.test_errors import check_error
from tests.api.people import as_member, joined, organization
from tests.support.facts import facts

FEW = {
    "organizations_per_user": 3,
    "api_keys_per_organization": 2,
    "clients_per_organization": 2,
    "operations_per_organization": 2,
    "requested_deliveries_per_organization": 3,
}


@pytest.fixture(scope="module")
async def few(settings, recorder) -> AsyncIterator[FastAPI]:
    """An application in which there may be few of everything."""
    app = create_app(settings.model_copy(update=FEW), make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        yield app


def new(slug: str) -> dict[str, str]:
    return {"name": slug, "slug": slug}


async def test_who_makes_an_organization_is_its_admin(platform, caller, rows):
    org = await organization(platform, "home")
    member = await joined(platform, org, "founder@example.com", role="admin")
    founder = as_member(caller, member)
    made = await founder.made("/organizations", new("founded"))
    there = caller(Role.ADMIN, made["id"], subject=member["id"])
    me = (await there.get("/users/me")).json()["data"]
    assert {(one["organization_id"], one["role"]) for one in me["memberships"]} == {
        (org, "admin"),
        (made["id"], "admin"),
    }
    assert [one["id"] for one in (await there.get(f"/organizations/{made['id']}/members")).json()["data"]] == [
        member["id"]
    ]
    async with transaction(rows) as session:
        row = await session.get_one(Organization, UUID(made["id"]))
    assert row.created_by == member["id"]


async def test_a_user_makes_a_few_organizations_at_most_however_many_at_once(platform, few, settings):
    org = await organization(platform, "few-home")
    member = await joined(platform, org, "greedy@example.com", role="admin")
    greedy = Caller(few, settings, Role.ADMIN, org, subject=member["id"])
    answers = await asyncio.gather(*(greedy.post("/organizations", new(f"greedy-{n}")) for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 5
    refused = next(answer for answer in answers if answer.status_code == 403)
    error = check_error(refused, 403, "QUOTA_EXCEEDED")
    assert facts(error) == {"quota": "organizations_per_user", "limit": 3}
    assert "ask a platform admin" in error["message"]
    operator = Caller(few, settings, Role.PLATFORM_ADMIN)
    for number in range(4):
        assert (await operator.post("/organizations", new(f"operators-{number}"))).status_code == 201


def test_three_organizations_are_what_a_user_may_make_unless_the_operator_says_otherwise():
    assert Settings.model_fields["organizations_per_user"].default == 3


async def test_machines_make_no_organizations(platform, app, caller):
    org = await organization(platform, "machines")
    member = await joined(platform, org, "machinist@example.com", role="admin")
    admin = as_member(caller, member)
    key = await admin.made(f"/organizations/{org}/api-keys", {"name": "k", "scopes": ["organizations:write"]})
    by_key = await admin.http.post(
        "/organizations", json=new("by-key"), headers={"Authorization": "", "X-API-Key": key["key"]}
    )
    assert by_key.status_code in {201, 401}  # a user's key speaks for the user; without a token beside it
    account = await admin.made(f"/organizations/{org}/service-accounts", {"name": "bot", "role": "admin"})
    asked = {"grant_type": "client_credentials", "client_id": account["client_id"]}
    secret = {"client_secret": account["client_secret"]}
    token = await admin.http.post(
        "http://api.test/oauth/token", data={**asked, **secret}, headers={"Authorization": ""}
    )
    answer = await admin.http.post(
        "/organizations", json=new("by-bot"), headers={"Authorization": f"Bearer {token.json()['access_token']}"}
    )
    assert "people who have an account" in check_error(answer, 403, "AUTHORIZATION_DENIED")["message"]


async def test_keys_and_clients_of_an_organization_have_a_cap(platform, few, settings):
    org = await organization(platform, "capped")
    member = await joined(platform, org, "capped@example.com", role="admin")
    admin = Caller(few, settings, Role.ADMIN, org, subject=member["id"])
    requests = {
        "api-keys": {"name": "k", "scopes": ["projects:read"]},
        "service-accounts": {"name": "bot", "role": "viewer"},
        "clients": {
            "name": "app",
            "type": "public",
            "redirect_uris": ["https://a.example/cb"],
            "scopes": ["projects:read"],
        },
    }
    for path, body in requests.items():
        answers = await asyncio.gather(*(admin.post(f"/organizations/{org}/{path}", body) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201] * 2 + [403] * 3, path
        refused = next(answer for answer in answers if answer.status_code == 403)
        assert facts(check_error(refused, 403, "QUOTA_EXCEEDED"))["limit"] == 2
        one = next(answer for answer in answers if answer.status_code == 201).json()["data"]["id"]
        if path == "api-keys":
            rotated = await admin.post(f"/organizations/{org}/{path}/{one}/rotate", {"overlap_seconds": 0})
            assert rotated.status_code == 201, rotated.text
            one = rotated.json()["data"]["id"]
        assert (await admin.http.delete(f"/organizations/{org}/{path}/{one}")).status_code == 204
        assert (await admin.post(f"/organizations/{org}/{path}", body)).status_code == 201


async def test_operations_that_are_not_finished_have_a_cap_and_others_go_on(platform, caller, few, settings):
    world = await make_world(platform, caller, "pending")
    developer = Caller(few, settings, Role.DEVELOPER, world.org["id"])
    path = f"/features/{world.feature['id']}/build-and-deploy"

    def body(number: int) -> dict[str, str]:
        return {"version_tag": f"1.0.{number}", "git_branch": "main", "environment": "dev"}

    answers = await asyncio.gather(*(developer.post(path, body(number)) for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [202] * 2 + [429] * 4
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "wait for some of them" in check_error(refused, 429, "RATE_LIMIT_EXCEEDED")["message"]
    assert refused.headers["retry-after"] == "30"
    other = await make_world(platform, caller, "pending-other")
    theirs = Caller(few, settings, Role.DEVELOPER, other.org["id"])
    assert (await theirs.post(f"/features/{other.feature['id']}/build-and-deploy", body(1))).status_code == 202


async def test_deliveries_that_are_asked_for_have_a_cap_and_a_pace(platform, few, settings, rows, monkeypatch):
    org = await organization(platform, "replaying")
    admin = Caller(few, settings, Role.ADMIN, org)
    hook = await admin.made(f"/organizations/{org}/webhooks", {"url": "https://hooks.example.com/"})
    path = f"/organizations/{org}/webhooks/{hook['id']}"
    pings = await asyncio.gather(*(admin.post(f"{path}/ping") for _ in range(5)))
    assert sorted(answer.status_code for answer in pings) == [201] * 3 + [429] * 2
    refused = next(answer for answer in pings if answer.status_code == 429)
    assert "wait already" in check_error(refused, 429, "RATE_LIMIT_EXCEEDED")["message"]
    assert refused.headers["retry-after"] == "30"
    delivery = (await admin.get(f"{path}/deliveries")).json()["data"][0]
    again = await admin.post(f"{path}/deliveries/{delivery['id']}/redeliver")
    check_error(again, 429, "RATE_LIMIT_EXCEEDED")
    replayed = await admin.post(f"{path}/replay", {"since": now().isoformat()})
    check_error(replayed, 429, "RATE_LIMIT_EXCEEDED")
    other = await organization(platform, "replaying-not")
    theirs = Caller(few, settings, Role.ADMIN, other)
    hook = await theirs.made(f"/organizations/{other}/webhooks", {"url": "https://hooks.example.com/"})
    assert (await theirs.post(f"/organizations/{other}/webhooks/{hook['id']}/ping")).status_code == 201
    async with transaction(rows) as session:
        assert len(list(await session.scalars(select(Event).where(Event.organization_id == UUID(org))))) == 3
    assert sensitive_limits.REPLAYS.windows == [RateWindow("hour", 10, 60 * MINUTE_S)]
    assert new_id()
