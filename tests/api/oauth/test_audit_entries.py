"""What the audit log tells of logins, grants, accounts and signing keys; and that nobody floods it."""

from uuid import UUID

import pytest
from sqlalchemy import delete, select

from api.cli import accounts
from api.cli.bootstrap_admin import first_admin
from api.oauth.keystore import KeyStore
from api.rate_limits.sensitive_limits import TOLD
from domain.permissions import Role
from storage.engine import transaction
from storage.models import Attempts, AuditEntry, User
from tests.api.oauth.conftest import PASSWORD, claims_of, post
from tests.api.people import PASSWORD as INVITED
from tests.api.people import acceptance, invited, joined

HERE = "203.0.113.30"


@pytest.fixture
async def place(people) -> UUID:
    return await people.organization()


@pytest.fixture
async def ada(people, place) -> User:
    return await people.user((place, Role.DEVELOPER))


@pytest.fixture
async def application(people, place):
    return await people.application(place)


@pytest.fixture
def audited(rows):
    """Entries about a resource, oldest first; None: about none."""

    async def audited(resource_id: UUID | None, noun: str = "") -> list[AuditEntry]:
        async with transaction(rows) as session:
            wanted = select(AuditEntry).where(AuditEntry.resource_id == resource_id).order_by(AuditEntry.id)
            return [one for one in await session.scalars(wanted) if one.action.startswith(noun)]

    return audited


async def test_logins_and_logouts_are_audited(flow, application, ada, audited):
    browser = flow(application, address=HERE)
    await browser.login(ada, "a guess")
    await browser.login(ada)
    await browser.submit(browser.address(), "logout")
    refused, succeeded, ended = await audited(ada.id, "login.")
    assert [one.action for one in (refused, succeeded, ended)] == ["login.refused", "login.succeeded", "login.ended"]
    assert (refused.actor, succeeded.actor, ended.actor) == ("anonymous", str(ada.id), str(ada.id))
    assert {one.address for one in (refused, succeeded, ended)} == {HERE}
    assert {one.organization_id for one in (refused, succeeded, ended)} == {None}
    assert refused.reason == "wrong password"
    assert "a guess" not in str(vars(refused))


async def test_what_was_typed_for_an_address_is_not_audited(flow, application, audited):
    before = len(await audited(None, "login."))
    browser = flow(application, address="203.0.113.31")
    await browser.login(User(email="my-password-in-the-wrong-field"), PASSWORD)
    *_, entry = await audited(None, "login.")
    assert len(await audited(None, "login.")) == before + 1
    assert entry.reason == "no such account, or disabled"
    assert "wrong-field" not in str(vars(entry))


async def test_of_a_flood_of_refused_logins_some_are_audited_and_slowed_ones_count(
    flow, application, ada, audited, rows
):
    browser = flow(application, address="203.0.113.32")
    [window] = TOLD.windows
    for number in range(window.limit + 5):
        await browser.login(ada, f"guess {number}")
    found = await audited(ada.id, "login.refused")
    assert len(found) == window.limit
    assert {one.reason for one in found} == {"wrong password", "too many attempts"}
    async with transaction(rows) as session:
        await session.execute(delete(Attempts))
    await flow(application, address="203.0.113.33").login(ada, "guess")
    assert len(await audited(ada.id, "login.refused")) == window.limit + 1


async def test_a_grant_is_audited_in_its_organization_and_so_is_its_end(flow, application, ada, audited, place):
    browser = flow(application)
    tokens = await browser.tokens(ada, scope="projects:read")
    await browser.refresh(tokens["refresh_token"])
    await browser.refresh(tokens["refresh_token"])
    await browser.refresh(tokens["refresh_token"])
    family = claims_of(tokens["access_token"])["family"]
    made, ended = await audited(UUID(family), "grant.")
    assert (made.action, made.actor, made.organization_id) == ("grant.created", str(ada.id), place)
    assert made.details == {"client_id": application.id, "user_id": str(ada.id), "scopes": ["projects:read"]}
    assert (ended.action, ended.actor, ended.organization_id) == ("grant.revoked", application.id, place)
    assert ended.reason == "a refresh token of it was used twice"
    other = await browser.tokens(ada)
    await post(browser.http, "revoke", {"token": other["refresh_token"], **application.form})
    *_, asked = await audited(UUID(claims_of(other["access_token"])["family"]), "grant.")
    assert (asked.action, asked.reason) == ("grant.revoked", "asked for by its client")


async def test_a_code_that_is_used_twice_is_audited(flow, application, ada, audited):
    browser = flow(application)
    code = await browser.code(ada)
    tokens = (await browser.exchange(code)).json()
    await browser.exchange(code)
    [*_, ended] = await audited(UUID(claims_of(tokens["access_token"])["family"]), "grant.")
    assert ended.reason == "its code was used twice"


async def test_who_accepts_an_invitation_is_the_actor(platform, place, audited):
    new = await joined(platform, str(place), "accepting@example.com")
    [created] = await audited(UUID(new["id"]), "user.")
    assert (created.action, created.actor) == ("user.created", new["id"])
    other = await platform.made("/organizations", {"name": "Other", "slug": "told-other", "plan": "enterprise"})
    token = await invited(platform, other["id"], "accepting@example.com")
    assert (await platform.post("/invitations/accept", acceptance(token, password=INVITED))).status_code == 200
    log = (await platform.get(f"/organizations/{other['id']}/audit-log")).json()["data"]
    entries = {one["action"]: one for one in log}
    accepted, member = entries["invitation.accepted"], entries["member.created"]
    assert accepted["actor"] == member["actor"] == new["id"]
    assert accepted["credential"] == f"invitation:{accepted['resource_id']}"


async def test_accounts_and_signing_keys_are_audited_in_the_platforms_log(
    *, app, platform, rows, ada, audited, caller, place
):
    await accounts.disable(rows, ada.email)
    await accounts.enable(rows, ada.email)
    await accounts.reset_password(rows, ada.email)
    entries = await audited(ada.id, "user.")
    assert [one.action for one in entries] == ["user.disabled", "user.enabled", "user.password_reset"]
    assert {one.actor for one in entries} == {"system"}
    assert entries[-1].changes == {"password_hash": {"changed": True}}
    await first_admin(rows, "told-admin@example.com")
    store = KeyStore(rows, app.state.parts.sealer)
    await store.rotate()
    await store.rotate(at_once=True)
    log = (await platform.get("/audit-log")).json()["data"]
    actions = [one["action"] for one in log]
    expected = ["signing_key.rotated", "signing_key.published", "user.created", "client.created"]
    assert actions[: len(expected)] == expected
    assert log[2]["reason"] == "the first platform admin"
    assert "organization_id" not in log[0]
    assert [one["sequence"] for one in log] == sorted((one["sequence"] for one in log), reverse=True)
    only = (await platform.get("/audit-log", params={"action": "signing_key.rotated"})).json()["data"]
    assert {one["action"] for one in only} == {"signing_key.rotated"}
    exported = await platform.get("/audit-log/export", params={"action": "user.disabled"})
    assert '"user.disabled"' in exported.text
    assert exported.headers["content-disposition"] == 'attachment; filename="audit-log-platform.ndjson"'
    for path in ("/audit-log", "/audit-log/export"):
        assert (await caller(Role.ADMIN, str(place)).get(path)).status_code == 403


async def test_keys_and_secrets_are_audited_by_what_was_done(platform, place):
    keys = f"/organizations/{place}/api-keys"
    key = await platform.made(keys, {"name": "ci", "scopes": ["projects:read"]})
    fresh = await platform.made(f"{keys}/{key['id']}/rotate", {})
    await platform.http.delete(f"{keys}/{fresh['id']}")
    account = await platform.made(f"/organizations/{place}/service-accounts", {"name": "ci", "role": "viewer"})
    path = f"/organizations/{place}/service-accounts/{account['id']}"
    assert (await platform.post(f"{path}/rotate-secret")).status_code == 200
    assert (await platform.http.delete(path)).status_code == 204
    answer = await platform.get(f"/organizations/{place}/audit-log")
    actions = {one["action"] for one in answer.json()["data"]}
    assert {"api_key.rotated", "api_key.revoked", "client.secret_rotated", "client.deleted"} <= actions
    for secret in (key["key"], fresh["key"], account["client_secret"]):
        assert secret not in answer.text
