"""Service accounts: nobody gives them more than they hold, and secrets are shown once."""

import pytest

from domain.permissions import Role, Scope, permissions_of
from runtime.credentials import digest, matches
from storage.engine import transaction
from storage.repositories.clients import ClientRepository
from storage.tenancy import PLATFORM
from tests.api.http.test_errors import check_error
from tests.api.people import organization, revoked, stored


@pytest.fixture(scope="module")
async def org(platform):
    return await organization(platform, "machines")


@pytest.fixture
def path(org):
    return f"/organizations/{org}/service-accounts"


async def secret_hash(rows, client_id):
    async with transaction(rows) as session:
        return (await ClientRepository(session, PLATFORM).by_id(client_id)).secret_hash


async def test_the_secret_is_shown_once_and_stored_as_a_hash(*, caller, rows, org, path):
    admin = caller(Role.ADMIN, org)
    made = await admin.post(path, {"name": "CI", "role": "developer"}, headers={"Idempotency-Key": "ci"})
    account = made.json()["data"]
    assert account["client_id"] == account["id"]
    assert account["scopes"] == sorted(permissions_of(Role.DEVELOPER))
    assert account["created_by"] == admin.subject
    assert account["client_secret"].startswith("cs-")
    one = await admin.get(f"{path}/{account['id']}")
    assert one.headers["etag"] == made.headers["etag"]
    for answer in (one, await admin.get(path)):
        assert account["client_secret"] not in answer.text
        assert "secret" not in answer.text
    assert matches(account["client_secret"], await secret_hash(rows, account["id"]))
    again = await admin.post(path, {"name": "CI", "role": "developer"}, headers={"Idempotency-Key": "ci"})
    assert again.json()["data"] == account
    assert account["client_secret"] not in await stored(rows)


async def test_a_new_secret_replaces_the_old_one(platform, rows, path):
    account = await platform.made(path, {"name": "rotated", "role": "viewer"})
    rotated = (await platform.post(f"{path}/{account['id']}/rotate-secret")).json()["data"]
    assert rotated["client_secret"] != account["client_secret"]
    assert await secret_hash(rows, account["id"]) == digest(rotated["client_secret"])


async def test_nobody_gives_more_than_they_hold(caller, org, path):
    scopes = permissions_of(Role.ADMIN) - {Scope.ORGANIZATIONS_ADMIN, Scope.PROJECTS_READ}
    narrow = caller(Role.ADMIN, org, cut={str(scope) for scope in scopes})
    body = {"name": "x", "role": "admin"}
    assert "projects:write" in check_error(await narrow.post(path, body), 403, "AUTHORIZATION_DENIED")["message"]
    mine = {"name": "x", "role": "viewer", "scopes": ["projects:read"]}
    account = await narrow.made(path, mine)
    one = f"{path}/{account['id']}"
    check_error(await narrow.patch(one, {"scopes": ["features:read"]}), 403, "AUTHORIZATION_DENIED")
    assert (await narrow.post(f"{one}/rotate-secret")).status_code == 200
    admin = caller(Role.ADMIN, org)
    assert (await admin.patch(one, {"scopes": ["features:read"]})).status_code == 200
    check_error(await narrow.post(f"{one}/rotate-secret"), 403, "AUTHORIZATION_DENIED")


async def test_scopes_that_the_role_does_not_grant_are_422(platform, path):
    body = {"name": "x", "role": "viewer", "scopes": ["deployments:write"]}
    check_error(await platform.post(path, body), 422, "UNPROCESSABLE")
    account = await platform.made(path, {"name": "y", "role": "developer", "scopes": ["deployments:write"]})
    check_error(await platform.patch(f"{path}/{account['id']}", {"role": "viewer"}), 422, "UNPROCESSABLE")


@pytest.mark.parametrize(
    "changed",
    [
        {"role": "platform_admin"},
        {"scopes": ["everything"]},
        {"scopes": []},  # not: all that the role grants
        {"name": ""},
        {"name": "a\x00"},
        {"more": 1},
    ],
)
async def test_what_is_no_service_account_is_400(platform, path, changed):
    check_error(await platform.post(path, {"name": "x", "role": "viewer", **changed}), 400, "VALIDATION_ERROR")


async def test_only_what_takes_something_away_ends_tokens(*, platform, rows, org, path):
    account = await platform.made(path, {"name": "x", "role": "developer", "scopes": ["features:read"]})
    one, before = f"{path}/{account['id']}", await revoked(rows)
    seen = (await platform.get(one)).headers["etag"]
    more = {"name": "renamed", "scopes": ["features:write", "features:read"]}
    changed = (await platform.patch(one, more, headers={"If-Match": seen})).json()["data"]
    assert (changed["name"], changed["scopes"]) == ("renamed", ["features:read", "features:write"])
    assert await revoked(rows) == before
    check_error(await platform.patch(one, {"name": "z"}, headers={"If-Match": seen}), 412, "PRECONDITION_FAILED")
    check_error(await platform.patch(one, {"scopes": []}), 400, "VALIDATION_ERROR")
    await platform.patch(one, {"scopes": ["features:read"]})
    assert await revoked(rows) == [*before, (account["id"], org)]


async def test_a_deleted_one_is_disabled_and_its_tokens_end(*, platform, rows, org, path):
    account = await platform.made(path, {"name": "deleted", "role": "viewer"})
    one = f"{path}/{account['id']}"
    assert [(await platform.http.delete(one)).status_code for _ in range(2)] == [204, 204]
    assert (await revoked(rows)).count((account["id"], org)) == 1
    assert (await platform.get(one)).json()["data"]["status"] == "disabled"
    assert account["id"] not in (await platform.get(path)).text
    assert account["id"] in (await platform.get(f"{path}?status=disabled")).text
    check_error(await platform.patch(one, {"name": "back"}), 400, "INVALID_STATE")
    check_error(await platform.post(f"{one}/rotate-secret"), 400, "INVALID_STATE")


async def test_they_are_found_by_a_part_of_their_name_and_by_admins_only(platform, caller, org, path):
    account = await platform.made(path, {"name": "Nightly robot", "role": "viewer"})
    found = (await platform.get(f"{path}?search=ROBOT&sort_by=name")).json()["data"]
    assert [one["id"] for one in found] == [account["id"]]
    manager = caller(Role.RELEASE_MANAGER, org)
    check_error(await manager.get(path), 403, "AUTHORIZATION_DENIED")
    check_error(await manager.post(path, {"name": "x", "role": "viewer"}), 403, "AUTHORIZATION_DENIED")


async def test_they_are_found_in_their_organization_only(platform, other_world, path):
    account = await platform.made(path, {"name": "x", "role": "viewer"})
    for elsewhere in (
        f"/organizations/{other_world.org['id']}/service-accounts/{account['id']}",
        f"{path.replace('service-accounts', 'clients')}/{account['id']}",
    ):
        check_error(await platform.get(elsewhere), 404, "RESOURCE_NOT_FOUND")
        check_error(await platform.patch(elsewhere, {"name": "x"}), 404, "RESOURCE_NOT_FOUND")
        check_error(await platform.http.delete(elsewhere), 404, "RESOURCE_NOT_FOUND")
        check_error(await platform.post(f"{elsewhere}/rotate-secret"), 404, "RESOURCE_NOT_FOUND")
    nowhere = "/organizations/00000000-0000-7000-8000-000000000000/service-accounts"
    check_error(await platform.post(nowhere, {"name": "x", "role": "viewer"}), 404, "RESOURCE_NOT_FOUND")


async def test_of_what_ends_the_tokens_of_one_the_last_is_kept(platform, rows, org, path):
    account = await platform.made(path, {"name": "x", "role": "developer"})
    for scopes in (["features:read", "features:write"], ["features:read"], ["projects:read"]):
        assert (await platform.patch(f"{path}/{account['id']}", {"scopes": scopes})).status_code == 200
    assert (await revoked(rows)).count((account["id"], org)) == 1
