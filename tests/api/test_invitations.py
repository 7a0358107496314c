"""Invitations: a token for one seat, once, for seven days."""

import asyncio
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select

from domain.permissions import Role, Scope
from runtime.credentials import digest
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Invitation, User
from tests.api.conftest import BASE_URL
from tests.api.http.test_errors import check_error
from tests.api.people import PASSWORD, acceptance, as_member, invited, joined, organization, stored
from tests.support.facts import facts

ACCEPT = "/invitations/accept"


@pytest.fixture(scope="module")
async def org(platform):
    return await organization(platform, "inviting", max_users=50)


@pytest.fixture(scope="module")
async def stranger(app):
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL + "/v1", timeout=30) as client:
        yield client


async def test_the_token_is_shown_once_and_kept_nowhere(platform, caller, rows, org):
    admin, path = caller(Role.ADMIN, org), f"/organizations/{org}/invitations"
    body, key = {"email": "Ada@Example.com", "role": "developer"}, {"Idempotency-Key": "invite-ada"}
    made = await admin.post(path, body, headers=key)
    invitation = made.json()["data"]
    assert (invitation["email"], invitation["status"]) == ("ada@example.com", "open")
    assert invitation["token"].startswith("inv-")
    assert invitation["accept_url"] == f"{BASE_URL}/v1/invitations/accept"
    one = await admin.get(f"{path}/{invitation['id']}")
    assert one.headers["etag"] == made.headers["etag"]
    for answer in (one, await admin.get(path)):
        assert invitation["token"] not in answer.text
        assert digest(invitation["token"]) not in answer.text
    again = await admin.post(path, body, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["data"]["token"] == invitation["token"]
    assert invitation["token"] not in await stored(rows)


async def test_a_stranger_becomes_a_user_and_a_member(platform, caller, stranger, rows, org):
    token = await invited(platform, org, "new@example.com", "developer")
    answer = await stranger.post(ACCEPT, json=acceptance(token))
    assert answer.status_code == 200, answer.text
    member = answer.json()["data"]
    assert (member["email"], member["role"]) == ("new@example.com", "developer")
    assert (await platform.get(f"/organizations/{org}/members/{member['id']}")).json()["data"] == member
    me = (await as_member(caller, member).get("/users/me")).json()["data"]
    assert me["user"]["email"] == "new@example.com"
    held = await stored(rows)
    assert PASSWORD not in held
    assert "$argon2id$" in held
    found = (await platform.get(f"/organizations/{org}/invitations?status=accepted")).json()["data"]
    assert found[0]["email"] == "new@example.com"


async def test_a_double_click_is_harmless(platform, stranger, rows, org):
    token = await invited(platform, org, "click@example.com")
    answers = await asyncio.gather(*(stranger.post(ACCEPT, json=acceptance(token)) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
    later = await stranger.post(ACCEPT, json=acceptance(token))
    assert {answer.json()["data"]["id"] for answer in (*answers, later)} == {later.json()["data"]["id"]}
    async with transaction(rows) as session:
        assert await session.scalar(select(func.count()).where(User.email == "click@example.com")) == 1


async def test_a_used_token_is_worth_nothing_to_others_nor_after_removal(platform, stranger, org):
    token = await invited(platform, org, "used@example.com")
    member = (await stranger.post(ACCEPT, json=acceptance(token))).json()["data"]
    other = await stranger.post(ACCEPT, json=acceptance(token, password="another password"))
    check_error(other, 401, "AUTHENTICATION_FAILED")
    assert (await platform.http.delete(f"/organizations/{org}/members/{member['id']}")).status_code == 204
    check_error(await stranger.post(ACCEPT, json=acceptance(token)), 404, "RESOURCE_NOT_FOUND")


async def test_a_known_user_joins_with_the_right_password_only(platform, stranger, org, other_world):
    member = await joined(platform, org, "known@example.com")
    token = await invited(platform, other_world.org["id"], "known@example.com", "developer")
    wrong = await stranger.post(ACCEPT, json={"token": token, "password": "wrong password"})
    assert "www-authenticate" in wrong.headers
    check_error(wrong, 401, "AUTHENTICATION_FAILED")
    right = await stranger.post(ACCEPT, json={"token": token, "password": PASSWORD})
    assert right.status_code == 200, right.text
    assert right.json()["data"]["id"] == member["id"]
    assert right.json()["data"]["name"] == member["name"]


async def test_a_link_does_not_tell_whether_somebody_has_an_account(platform, stranger, org, other_world):
    """Whoever invites has the link, too, and would learn who uses this engine."""
    await joined(platform, org, "somebody@example.com")
    answers = {}
    for email in ("somebody@example.com", "nobody@example.com"):
        token = await invited(platform, other_world.org["id"], email)
        tried = [await stranger.post(ACCEPT, json={"token": token, "password": "a wrong one"}) for _ in range(6)]
        tried.append(await stranger.post(ACCEPT, json={"token": token, "name": "N", "password": "short"}))
        said = [(one.status_code, one.json()["error"]["message"].replace(email, "it")) for one in tried]
        answers[email] = [(status, words, *sorted(tried[0].headers)) for status, words in said]
    assert answers["somebody@example.com"] == answers["nobody@example.com"]
    assert [one[0] for one in answers["nobody@example.com"]] == [401] * 5 + [404, 400]


async def test_whoever_invites_cannot_try_many_passwords(platform, stranger, org, other_world):
    await joined(platform, org, "victim@example.com")
    token = await invited(platform, other_world.org["id"], "victim@example.com")
    wrong = [{"token": token, "password": f"wrong password {number}"} for number in range(9)]
    tries = [stranger.post(ACCEPT, json=body) for body in wrong]
    statuses = [answer.status_code for answer in await asyncio.gather(*tries)]
    assert sorted(statuses) == [401] * 5 + [404] * 4
    check_error(await stranger.post(ACCEPT, json=acceptance(token)), 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("changed", [{"password": "short"}, {"password": "x" * 1025}, {"more": 1}])
async def test_what_a_new_user_gives_is_checked(platform, stranger, org, changed):
    token = await invited(platform, org, f"{new_id()}@example.com")
    answer = await stranger.post(ACCEPT, json=acceptance(token, **changed))
    error = check_error(answer, 400, "VALIDATION_ERROR")
    assert error["details"][0]["field"] in changed
    assert str(changed.get("password", "no password")) not in answer.text
    assert (await stranger.post(ACCEPT, json=acceptance(token))).status_code == 200


async def test_broken_json_of_a_stranger_is_400(stranger):
    broken = await stranger.post(ACCEPT, content=b"{", headers={"Content-Type": "application/json"})
    check_error(broken, 400, "VALIDATION_ERROR")
    check_error(await stranger.post(f"{ACCEPT}?x=1", json=acceptance("inv-x")), 400, "VALIDATION_ERROR")


async def test_expired_revoked_and_unknown_ones_are_one_404(platform, stranger, rows, org):
    expired, gone = await invited(platform, org, "late@example.com"), await invited(platform, org, "gone@example.com")
    async with transaction(rows) as session:
        row = await session.scalar(select(Invitation).where(Invitation.token_hash == digest(expired)))
        assert row.expires_at - row.created_at == pytest.approx(timedelta(days=7), abs=timedelta(minutes=1))
        row.expires_at = row.created_at
        revoked_id = await session.scalar(select(Invitation.id).where(Invitation.token_hash == digest(gone)))
    path = f"/organizations/{org}/invitations"
    one = f"{path}/{revoked_id}"
    assert [(await platform.http.delete(one)).status_code for _ in range(2)] == [204, 204]
    assert (await platform.get(one)).json()["data"]["status"] == "revoked"
    assert (await platform.get(f"{path}?status=expired")).json()["data"][0]["email"] == "late@example.com"
    messages = set()
    for token in (expired, gone, "inv-unknown"):
        answer = await stranger.post(ACCEPT, json=acceptance(token))
        messages.add(check_error(answer, 404, "RESOURCE_NOT_FOUND")["message"])
    assert len(messages) == 1


async def test_an_accepted_one_cannot_be_revoked(platform, stranger, org):
    made = await platform.made(f"/organizations/{org}/invitations", {"email": "in@example.com", "role": "viewer"})
    assert (await stranger.post(ACCEPT, json=acceptance(made["token"]))).status_code == 200
    one = f"/organizations/{org}/invitations/{made['id']}"
    check_error(await platform.http.delete(one), 400, "INVALID_STATE")


async def test_nobody_is_invited_twice(platform, org):
    path = f"/organizations/{org}/invitations"
    await invited(platform, org, "twice@example.com")
    again = {"email": "TWICE@example.com", "role": "viewer"}
    check_error(await platform.post(path, again), 409, "DUPLICATE_RESOURCE")
    await joined(platform, org, "inside@example.com")
    check_error(await platform.post(path, {**again, "email": "inside@example.com"}), 409, "DUPLICATE_RESOURCE")


@pytest.mark.parametrize(
    "body",
    [
        {"email": "ada", "role": "viewer"},
        {"email": "ada@example.com", "role": "platform_admin"},
        {"email": "ada@example.com"},
        {"email": "a" * 250 + "@example.com", "role": "viewer"},
    ],
)
async def test_what_is_no_invitation_is_400(platform, org, body):
    check_error(await platform.post(f"/organizations/{org}/invitations", body), 400, "VALIDATION_ERROR")


async def test_only_admins_see_and_make_invitations(caller, org):
    path = f"/organizations/{org}/invitations"
    for role in (Role.VIEWER, Role.DEVELOPER, Role.RELEASE_MANAGER):
        check_error(await caller(role, org).get(path), 403, "AUTHORIZATION_DENIED")
        body = {"email": "x@example.com", "role": "viewer"}
        check_error(await caller(role, org).post(path, body), 403, "AUTHORIZATION_DENIED")


async def test_an_invitation_is_found_in_its_organization_only(platform, org, other_world):
    made = await platform.made(f"/organizations/{org}/invitations", {"email": "where@example.com", "role": "viewer"})
    elsewhere = f"/organizations/{other_world.org['id']}/invitations/{made['id']}"
    check_error(await platform.get(elsewhere), 404, "RESOURCE_NOT_FOUND")
    check_error(await platform.http.delete(elsewhere), 404, "RESOURCE_NOT_FOUND")


async def test_seats_are_not_given_twice_however_many_ask_at_once(platform, stranger):
    org = await organization(platform, "seats", max_users=3)
    path = f"/organizations/{org}/invitations"
    await joined(platform, org, "seat@example.com")
    asked = [platform.post(path, {"email": f"seat{number}@example.com", "role": "viewer"}) for number in range(6)]
    answers = await asyncio.gather(*asked)
    made = [answer.json()["data"] for answer in answers if answer.status_code == 201]
    assert len(made) == 2
    for answer in answers:
        if answer.status_code != 201:
            assert facts(check_error(answer, 403, "QUOTA_EXCEEDED")) == {"quota": "max_users", "limit": 3}
    assert (await platform.http.delete(f"{path}/{made[0]['id']}")).status_code == 204
    late = await invited(platform, org, "late-seat@example.com")
    assert (await platform.patch(f"/organizations/{org}", {"max_users": 2})).status_code == 200
    both = await asyncio.gather(*(stranger.post(ACCEPT, json=acceptance(token)) for token in (made[1]["token"], late)))
    assert sorted(answer.status_code for answer in both) == [200, 403]
    assert UUID(next(answer for answer in both if answer.status_code == 200).json()["data"]["id"])


async def test_nobody_invites_or_raises_to_a_role_that_holds_more_than_their_token(platform, caller, org):
    narrow = caller(Role.ADMIN, org, cut={str(scope) for scope in Scope} - {"organizations:admin"})
    body = {"email": "helper@example.com", "role": "admin"}
    refused = check_error(await narrow.post(f"/organizations/{org}/invitations", body), 403, "AUTHORIZATION_DENIED")
    assert "projects:write" in facts(refused)["missing_permission"]
    member = await joined(platform, org, "raised@example.com", role="viewer")
    path = f"/organizations/{org}/members/{member['id']}"
    check_error(await narrow.patch(path, {"role": "admin"}), 403, "AUTHORIZATION_DENIED")
    assert (await platform.patch(path, {"role": "developer"})).status_code == 200
    assert (await narrow.patch(path, {"role": "viewer"})).status_code == 200
