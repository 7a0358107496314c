"""Who am I, and what do I change about myself; the published roles."""

import httpx2
import pytest
from sqlalchemy import select

from api.cli import roles_page
from api.oauth.throttle import LOGIN
from domain.permissions import GRANTS, MemberRole, Role
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import IdempotencyKey, User
from tests.api.callers import by_key
from tests.api.conftest import BASE_URL
from tests.api.http.test_errors import check_error
from tests.api.oauth.conftest import eventually
from tests.api.people import PASSWORD, as_member, joined, organization, revoked, stored

NEW = "a better battery staple"


async def _is_refused(somebody) -> bool:
    return (await somebody.get("/users/me")).status_code == 401


@pytest.fixture(scope="module")
async def org(platform):
    return await organization(platform, "selves", max_users=50)


async def test_a_user_sees_who_they_are_and_what_their_token_carries(platform, caller, org, other_world):
    member = await joined(platform, org, "me@example.com", "developer")
    await joined(platform, other_world.org["id"], "me@example.com", "viewer")
    answer = await as_member(caller, member).get("/users/me")
    me = answer.json()["data"]
    assert (me["subject"], me["role"], me["organization_id"]) == (member["id"], "developer", org)
    assert me["permissions"] == sorted(GRANTS[Role.DEVELOPER])
    assert me["user"]["email"] == "me@example.com"
    places = [(one["organization_id"], one["role"]) for one in me["memberships"]]
    assert places == [(org, "developer"), (other_world.org["id"], "viewer")]
    assert "hash" not in answer.text


async def test_who_is_no_user_of_ours_sees_what_the_token_says(caller, org):
    robot = caller(Role.VIEWER, org)
    me = (await robot.get("/users/me")).json()["data"]
    assert (me["subject"], me["user"], me["memberships"]) == (robot.subject, None, [])
    check_error(await robot.patch("/users/me", {"name": "x"}), 403, "AUTHORIZATION_DENIED")


async def test_a_key_tells_of_its_own_organization_and_changes_nobody(app, platform, caller, org, other_world):
    """It is handed to others of its organization, whom the maker's places elsewhere do not concern."""
    member = await joined(platform, org, "maker@example.com", "admin")
    await joined(platform, other_world.org["id"], "maker@example.com", "viewer")
    key = await by_key(app, as_member(caller, member), org)
    me = (await key.http.get("/users/me")).json()["data"]
    assert (me["subject"], me["user"]["id"]) == (member["id"], member["id"])
    assert [place["organization_id"] for place in me["memberships"]] == [org]
    check_error(await key.http.patch("/users/me", json={"name": "x"}), 403, "AUTHORIZATION_DENIED")
    assert (await as_member(caller, member).get("/users/me")).json()["data"]["user"]["name"] == "Ada Lovelace"


async def test_a_user_changes_their_name(platform, caller, rows, org):
    me = as_member(caller, await joined(platform, org, "named@example.com"))
    seen, before = (await me.get("/users/me")).headers["etag"], await revoked(rows)
    changed = await me.patch("/users/me", {"name": "Grace Hopper"}, headers={"If-Match": seen})
    assert changed.json()["data"]["user"]["name"] == "Grace Hopper"
    assert changed.headers["etag"] == (await me.get("/users/me")).headers["etag"]
    check_error(await me.patch("/users/me", {"name": "x"}, headers={"If-Match": seen}), 412, "PRECONDITION_FAILED")
    assert await revoked(rows) == before


async def test_an_api_key_changes_nobody(*, platform, caller, org):
    me = as_member(caller, await joined(platform, org, "keyed@example.com", "admin"))
    key = (await me.made(f"/organizations/{org}/api-keys", {"name": "k", "scopes": ["projects:read"]}))["key"]
    me.http.headers.pop("Authorization")
    me.http.headers["X-API-Key"] = key
    check_error(await me.patch("/users/me", {"name": "Mallory"}), 403, "AUTHORIZATION_DENIED")
    assert (await me.get("/users/me")).json()["data"]["user"]["name"] == "Ada Lovelace"


async def test_a_new_password_needs_the_old_one_and_ends_all_tokens(*, app, platform, caller, rows, org):
    member = await joined(platform, org, "password@example.com")
    me = as_member(caller, member)
    wrong = {"password": NEW, "current_password": "not my password"}
    for body, field in ((wrong, "current_password"), ({"password": NEW}, "current_password")):
        error = check_error(await me.patch("/users/me", body), 400, "VALIDATION_ERROR")
        assert error["details"][0]["field"] == field
    assert (member["id"], None) not in await revoked(rows)
    body, key = {"password": NEW, "current_password": PASSWORD}, {"Idempotency-Key": "new-password"}
    changed = await me.patch("/users/me", body, headers=key)
    assert changed.status_code == 200, changed.text
    assert (member["id"], None) in await revoked(rows)
    await eventually(lambda: _is_refused(me))
    again = await as_member(caller, member).patch("/users/me", body, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    async with transaction(rows) as session:
        stored_hash = await session.scalar(select(User.password_hash).where(User.email == "password@example.com"))
    assert await app.state.parts.passwords.verify(stored_hash, NEW)
    held = await stored(rows)
    assert NEW not in held
    assert PASSWORD not in held


async def test_what_is_kept_of_a_request_cannot_be_tried_against_passwords(app, platform, caller, rows, org):
    me = as_member(caller, await joined(platform, org, "kept@example.com"))
    body = {"password": NEW, "current_password": PASSWORD}
    await me.patch("/users/me", body, headers={"Idempotency-Key": "kept"})
    async with transaction(rows) as session:
        row = await session.scalar(select(IdempotencyKey).where(IdempotencyKey.key == "kept"))
    assert not row.body.startswith(b"{")
    assert b"kept@example.com" in app.state.parts.sealer.open(row.body, f"idempotency:{row.principal}/kept")


@pytest.mark.parametrize("password", ["2short!", "x" * 1025, "ü" * 600, 5, None])
async def test_a_password_that_cannot_be_set_is_400_and_not_repeated(platform, caller, org, password):
    me = as_member(caller, await joined(platform, org, f"{new_id()}@example.com"))
    answer = await me.patch("/users/me", {"password": password, "current_password": PASSWORD})
    assert check_error(answer, 400, "VALIDATION_ERROR")["details"][0]["field"] == "password"
    assert not isinstance(password, str) or password not in answer.text


async def test_the_table_of_roles_is_published(caller, org):
    found = (await caller(Role.VIEWER, org).get("/roles")).json()["data"]
    assert [one["name"] for one in found] == list(Role)
    for one in found:
        assert set(one["permissions"]) == GRANTS[Role(one["name"])]
        assert one["assignable"] is (one["name"] in set(MemberRole))


def test_the_page_of_roles_is_what_the_tables_and_routes_say():
    assert roles_page.PAGE.read_text() == roles_page.page(), (
        "docs/roles.md is out of date: run `python -m api.cli roles-page`, commit it"
    )


async def test_guessing_the_present_password_slows_the_guesser_alone(app, platform, caller, org):
    member = await joined(platform, org, "guessed@example.com")
    me = as_member(caller, member)
    answers = [
        await me.patch("/users/me", {"password": NEW, "current_password": f"guess {number}"})
        for number in range(LOGIN.free)
    ]
    assert [answer.status_code for answer in answers] == [400] * LOGIN.free
    right = {"password": NEW, "current_password": PASSWORD}
    slowed = await me.patch("/users/me", right)
    check_error(slowed, 429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(slowed.headers["retry-after"]) <= LOGIN.first_s + 1
    headers = {"Authorization": f"Bearer {me.token}"}
    home = httpx2.ASGITransport(app=app, client=("203.0.113.50", 1))
    async with httpx2.AsyncClient(transport=home, base_url=BASE_URL, headers=headers) as elsewhere:
        assert (await elsewhere.patch("/v1/users/me", json=right)).status_code == 200
