"""Members: who sees them, who changes them, and what becomes of their tokens."""

import asyncio

import pytest

from domain.permissions import Role
from tests.api.http.test_errors import check_error
from tests.api.people import as_member, joined, organization, revoked
from tests.support.facts import facts


@pytest.fixture(scope="module")
async def org(platform):
    return await organization(platform, "members")


@pytest.fixture(scope="module")
async def admin(platform, org):
    return await joined(platform, org, "admin@example.com", "admin")


@pytest.fixture(scope="module")
async def developer(platform, org):
    return await joined(platform, org, "dev@example.com", "developer")


async def test_members_are_listed_for_members_without_anything_secret(caller, org, admin, developer):
    viewer = caller(Role.VIEWER, org)
    answer = await viewer.get(f"/organizations/{org}/members")
    assert [one["email"] for one in answer.json()["data"]][-2:] == ["dev@example.com", "admin@example.com"]
    assert "hash" not in answer.text
    only = (await viewer.get(f"/organizations/{org}/members?role=admin")).json()["data"]
    assert [one["id"] for one in only] == [admin["id"]]
    one = (await viewer.get(f"/organizations/{org}/members/{developer['id']}")).json()["data"]
    assert one == developer
    assert one.keys() == {"id", "organization_id", "email", "email_verified", "name", "role", "joined_at", "updated_at"}


async def test_members_have_pages_and_cursors(caller, org, admin, developer):
    viewer = caller(Role.VIEWER, org)
    path = f"/organizations/{org}/members?page_size=1"
    first = (await viewer.get(path)).json()
    assert first["pagination"]["total"] >= 2
    second = (await viewer.get(f"{path}&cursor={first['pagination']['next_cursor']}")).json()
    assert second["data"][0]["id"] != first["data"][0]["id"]


async def test_who_is_no_member_is_404(platform, caller, org, other_world, admin):
    missing = f"/organizations/{org}/members/00000000-0000-7000-8000-000000000000"
    check_error(await platform.get(missing), 404, "RESOURCE_NOT_FOUND")
    check_error(await platform.patch(missing, {"role": "viewer"}), 404, "RESOURCE_NOT_FOUND")
    check_error(await platform.http.delete(missing), 404, "RESOURCE_NOT_FOUND")
    elsewhere = f"/organizations/{other_world.org['id']}/members/{admin['id']}"
    check_error(await platform.get(elsewhere), 404, "RESOURCE_NOT_FOUND")
    check_error(await platform.http.delete(elsewhere), 404, "RESOURCE_NOT_FOUND")
    nowhere = "/organizations/00000000-0000-7000-8000-000000000000/members"
    check_error(await platform.get(nowhere), 404, "RESOURCE_NOT_FOUND")


async def test_only_admins_change_members(caller, org, developer):
    path = f"/organizations/{org}/members/{developer['id']}"
    for role in (Role.VIEWER, Role.DEVELOPER, Role.RELEASE_MANAGER):
        check_error(await caller(role, org).patch(path, {"role": "viewer"}), 403, "AUTHORIZATION_DENIED")
        check_error(await caller(role, org).http.delete(path), 403, "AUTHORIZATION_DENIED")


@pytest.mark.parametrize("role", ["platform_admin", "owner", "", None])
async def test_no_admin_makes_a_platform_admin(platform, caller, org, developer, role):
    path = f"/organizations/{org}/members/{developer['id']}"
    for who in (caller(Role.ADMIN, org), platform):
        check_error(await who.patch(path, {"role": role}), 400, "VALIDATION_ERROR")


async def test_a_lesser_role_ends_the_tokens_and_a_greater_one_does_not(platform, rows, org):
    member = await joined(platform, org, "moved@example.com", "developer")
    path, before = f"/organizations/{org}/members/{member['id']}", await revoked(rows)
    raised = await platform.patch(path, {"role": "release_manager"})
    assert raised.json()["data"]["role"] == "release_manager"
    assert await revoked(rows) == before
    lowered = await platform.patch(path, {"role": "viewer"})
    assert lowered.json()["data"]["role"] == "viewer"
    assert await revoked(rows) == [*before, (member["id"], org)]


async def test_who_is_removed_is_out_with_all_tokens_and_may_be_invited_again(platform, caller, rows, org):
    member = await joined(platform, org, "left@example.com", "developer")
    path = f"/organizations/{org}/members/{member['id']}"
    assert (await caller(Role.ADMIN, org).http.delete(path)).status_code == 204
    assert (member["id"], org) in await revoked(rows)
    check_error(await platform.get(path), 404, "RESOURCE_NOT_FOUND")
    back = await joined(platform, org, "left@example.com", "viewer")
    assert back["id"] == member["id"]


async def test_a_change_is_of_what_was_seen(platform, org):
    member = await joined(platform, org, "seen@example.com")
    path = f"/organizations/{org}/members/{member['id']}"
    seen = (await platform.get(path)).headers["etag"]
    changed = await platform.patch(path, {"role": "developer"}, headers={"If-Match": seen})
    assert changed.headers["etag"] == (await platform.get(path)).headers["etag"] != seen
    stale = {"If-Match": seen}
    check_error(await platform.patch(path, {"role": "admin"}, headers=stale), 412, "PRECONDITION_FAILED")
    check_error(await platform.http.delete(path, headers=stale), 412, "PRECONDITION_FAILED")


async def test_the_last_admin_stays_one_also_when_two_leave_at_once(platform, caller):
    org = await organization(platform, "last-admin")
    first = await joined(platform, org, "first@example.com", "admin")
    path = f"/organizations/{org}/members"
    alone = f"{path}/{first['id']}"
    assert "last admin" in check_error(await platform.http.delete(alone), 409, "CONFLICT")["message"]
    check_error(await as_member(caller, first).patch(alone, {"role": "developer"}), 409, "CONFLICT")
    second = await joined(platform, org, "second@example.com", "admin")
    answers = await asyncio.gather(
        as_member(caller, second).http.delete(alone),
        as_member(caller, first).patch(f"{path}/{second['id']}", {"role": "viewer"}),
    )
    assert sorted(answer.status_code // 100 for answer in answers) == [2, 4]
    admins = (await platform.get(f"{path}?role=admin")).json()["data"]
    assert len(admins) == 1


async def test_fewer_seats_than_members_are_refused(platform):
    org = await organization(platform, "fewer", max_users=5)
    for number in range(3):
        await joined(platform, org, f"fewer{number}@example.com")
    path = f"/organizations/{org}"
    assert facts(check_error(await platform.patch(path, {"max_users": 2}), 422, "UNPROCESSABLE"))["members"] == 3
    assert (await platform.patch(path, {"max_users": 3})).status_code == 200
