"""What people and programs were given ends with what they were given it for: in every process, within a second."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest

from api.app import create_app
from api.cli import accounts
from api.cli.bootstrap_admin import reset_password
from api.oauth.token_subject import holder_of
from api.services.revoke_access import end_tokens
from contracts.operations import BuildAndDeployInput
from domain.approvals import check_approver
from domain.errors import ForbiddenError, NotFoundError
from domain.permissions import Role
from runtime.ids import new_id
from runtime.tokens import Subject
from storage.engine import transaction
from storage.models import User
from storage.repositories.memberships import MembershipRepository
from storage.tenancy import PLATFORM
from tests.api.conftest import BASE_URL, token_for
from tests.api.oauth.conftest import PASSWORD, Flow, claims_of, eventually, post
from tests.api.people import PASSWORD as INVITED
from tests.api.people import joined

NEW = "a better battery staple"


@pytest.fixture(scope="module")
async def second(settings, recorder):
    """Another API process: parts of its own on the same database."""
    app = create_app(settings, make_operations=lambda _: recorder)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client,
    ):
        yield client


@pytest.fixture
async def place(people) -> UUID:
    return await people.organization()


@dataclass
class Asker:
    """Shows a credential to two processes."""

    here: httpx2.AsyncClient
    there: httpx2.AsyncClient

    async def statuses(self, **headers: str) -> set[int]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return {(await one.get("/v1/organizations", headers=names)).status_code for one in (self.here, self.there)}

    async def token(self, token: str) -> set[int]:
        return await self.statuses(Authorization=f"Bearer {token}")

    async def ended(self, **headers: str) -> None:
        async def refused() -> bool:
            return await self.statuses(**headers) == {401}

        await eventually(refused, 1)

    async def token_ended(self, token: str) -> None:
        await self.ended(Authorization=f"Bearer {token}")


@pytest.fixture
def asker(http, second) -> Asker:
    return Asker(http, second)


@dataclass
class Member:
    """Somebody who was invited, accepted, and logged in through an application."""

    user: User
    browser: Flow
    tokens: dict[str, Any]

    @property
    def access(self) -> str:
        return self.tokens["access_token"]

    async def refreshed(self) -> httpx2.Response:
        return await self.browser.refresh(self.tokens["refresh_token"])


@pytest.fixture
def member(platform, people, flow, place):
    """Makes members of the place, as people become them."""

    async def make(role: str = "developer") -> Member:
        told = await joined(platform, str(place), f"{secrets.token_hex(6)}@example.com", role)
        user = User(id=UUID(told["id"]), email=told["email"])
        browser = flow(await people.application(place))
        assert (await browser.login(user, INVITED)).status_code == 303
        return Member(user, browser, await again(browser))

    return make


async def again(browser: Flow) -> dict[str, Any]:
    """New tokens for who is logged in already."""
    allowed = await browser.submit(browser.address(), "allow")
    code = allowed.headers["location"].split("code=")[1].split("&")[0]
    return (await browser.exchange(code)).json()


async def key_of(http, place: UUID, access: str) -> str:
    body = {"name": "ci", "scopes": ["organizations:read", "projects:read", "projects:write"]}
    headers = {"Authorization": f"Bearer {access}"}
    made = await http.post(f"/v1/organizations/{place}/api-keys", json=body, headers=headers)
    assert made.status_code == 201, made.text
    return made.json()["data"]["key"]


async def test_who_is_removed_is_out_everywhere_also_after_coming_back(*, platform, http, member, place, asker):
    ada = await member("admin")
    await member("admin")
    key = await key_of(http, place, ada.access)
    assert await asker.token(ada.access) == {200}
    assert await asker.statuses(X_API_Key=key) == {200}
    gone = await platform.http.delete(f"/organizations/{place}/members/{ada.user.id}")
    assert gone.status_code == 204
    await asker.token_ended(ada.access)
    await asker.ended(X_API_Key=key)
    assert (await ada.refreshed()).json()["error"] == "invalid_grant"
    back = await platform.post(f"/organizations/{place}/invitations", {"email": ada.user.email, "role": "viewer"})
    accepted = {"token": back.json()["data"]["token"], "password": INVITED}
    assert (await platform.post("/invitations/accept", accepted)).status_code == 200
    assert (await ada.refreshed()).json()["error"] == "invalid_grant"
    assert await asker.statuses(X_API_Key=key) == {401}
    assert await asker.token(ada.access) == {401}
    assert await asker.token((await again(ada.browser))["access_token"]) == {200}


async def test_who_is_lowered_gets_less_from_then_on(*, platform, http, member, place, asker):
    ada = await member("admin")
    await member("admin")
    key = await key_of(http, place, ada.access)
    lowered = await platform.patch(f"/organizations/{place}/members/{ada.user.id}", {"role": "viewer"})
    assert lowered.status_code == 200
    await asker.token_ended(ada.access)
    fresh = (await ada.refreshed()).json()
    assert "projects:write" not in fresh["scope"].split()
    assert await asker.token(fresh["access_token"]) == {200}
    body = {"name": "n", "slug": "n", "repository_url": "https://example.com/n"}

    async def writes(**headers: str) -> set[int]:
        path = f"/v1/organizations/{place}/projects"
        return {(await one.post(path, json=body, headers=headers)).status_code for one in (asker.here, asker.there)}

    async def cut() -> bool:
        return await writes(**{"X-API-Key": key}) == {403}

    await eventually(cut, 1)
    assert await asker.statuses(X_API_Key=key) == {200}
    assert await writes(Authorization=f"Bearer {fresh['access_token']}") == {403}


async def test_a_new_password_logs_out_everywhere_and_the_next_login_works_at_once(*, http, member, asker):
    ada = await member()
    body = {"password": NEW, "current_password": INVITED}
    changed = await http.patch("/v1/users/me", json=body, headers={"Authorization": f"Bearer {ada.access}"})
    assert changed.status_code == 200, changed.text
    assert "Log in" in (await ada.browser.http.get(ada.browser.address())).text
    assert (await ada.refreshed()).json()["error"] == "invalid_grant"
    await asker.token_ended(ada.access)
    assert (await ada.browser.login(ada.user, INVITED)).status_code == 400
    assert (await ada.browser.login(ada.user, NEW)).status_code == 303
    assert await asker.token((await again(ada.browser))["access_token"]) == {200}


async def test_a_password_that_an_operator_resets_logs_out_everywhere(people, flow, rows, asker):
    admin, browser = await people.user(admin=True), flow(await people.application(None))
    tokens = await browser.tokens(admin)
    password = await reset_password(rows, admin.email)
    assert "Log in" in (await browser.http.get(browser.address())).text
    await asker.token_ended(tokens["access_token"])
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await browser.login(admin, PASSWORD)).status_code == 400
    assert (await browser.login(admin, password)).status_code == 303


async def test_with_an_application_goes_what_was_allowed_it_and_nothing_else(*, platform, people, flow, place, asker):
    admin = await platform.made(
        f"/organizations/{place}/clients",
        {"name": "App", "type": "public", "redirect_uris": [Flow.redirect], "scopes": ["organizations:read"]},
    )
    path = f"/organizations/{place}/clients/{admin['id']}"
    ada, other = await people.user((place, Role.DEVELOPER)), flow(await people.application(place))
    browser = flow(type(other.client)(admin["id"], None))
    tokens, kept = await browser.tokens(ada), await other.tokens(ada)
    assert await asker.token(tokens["access_token"]) == {200}
    assert (await platform.http.delete(path)).status_code == 204
    await asker.token_ended(tokens["access_token"])
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 401
    assert await asker.token(kept["access_token"]) == {200}
    assert (await other.refresh(kept["refresh_token"])).status_code == 200


async def test_an_application_that_may_ask_for_less_has_to_refresh(*, platform, people, flow, place, asker):
    body = {"name": "App", "type": "public", "redirect_uris": [Flow.redirect]}
    scopes = ["organizations:read", "projects:read"]
    made = await platform.made(f"/organizations/{place}/clients", {**body, "scopes": scopes})
    known = await people.application(place)
    browser = flow(type(known)(made["id"], None))
    tokens = await browser.tokens(await people.user((place, Role.DEVELOPER)))
    path = f"/organizations/{place}/clients/{made['id']}"
    assert (await platform.patch(path, {"name": "Other"})).status_code == 200
    assert await asker.token(tokens["access_token"]) == {200}
    assert (await platform.patch(path, {"scopes": scopes[:1]})).status_code == 200
    await asker.token_ended(tokens["access_token"])
    fresh = (await browser.refresh(tokens["refresh_token"])).json()
    assert fresh["scope"] == "organizations:read"
    assert await asker.token(fresh["access_token"]) == {200}


@pytest.fixture
async def robot(platform, http, place):
    """A service account with a token and an API key."""
    account = await platform.made(f"/organizations/{place}/service-accounts", {"name": "ci", "role": "admin"})
    form = {"grant_type": "client_credentials", "client_id": account["id"], "client_secret": account["client_secret"]}
    access = (await post(http, "token", form)).json()["access_token"]
    return account, form, access, await key_of(http, place, access)


async def test_with_a_service_account_go_its_tokens_and_keys(*, platform, http, place, robot, asker):
    account, form, access, key = robot
    assert await asker.token(access) == await asker.statuses(X_API_Key=key) == {200}
    path = f"/organizations/{place}/service-accounts/{account['id']}"
    assert (await platform.http.delete(path)).status_code == 204
    await asker.token_ended(access)
    await asker.ended(X_API_Key=key)
    assert (await post(http, "token", form)).status_code == 401
    keys = (await platform.get(f"/organizations/{place}/api-keys")).json()["data"]
    assert [one["status"] for one in keys] == ["revoked"]


async def test_a_service_accounts_key_may_no_more_than_the_account(*, platform, http, place, robot):
    account, form, _, key = robot
    path = f"/organizations/{place}/service-accounts/{account['id']}"
    cut = await platform.patch(path, {"scopes": ["organizations:read"]})
    assert cut.status_code == 200

    async def status(what: str) -> int:
        return (await http.get(f"/v1/organizations{what}", headers={"X-API-Key": key})).status_code

    async def less() -> bool:
        return await status(f"/{place}/projects") == 403

    await eventually(less, 1)
    assert await status("") == 200
    assert (await platform.patch(path, {"scopes": []})).status_code == 400
    assert (await post(http, "token", form)).json()["scope"] == "organizations:read"


async def test_four_eyes_see_one_person_behind_a_token_and_a_key(*, platform, http, member, place, robot, operations):
    """Of a person and of a service account: what the workflow compares is the same, whatever they showed."""
    ada = await member("admin")
    project = {"name": "Shop", "slug": "shop", "repository_url": "https://git.example.com/acme/shop"}
    made = await platform.made(f"/organizations/{place}/projects", project)
    wish = {"title": "Sell", "description": "...", "acceptance_criteria": ["It sells"]}
    requirement = await platform.made(f"/projects/{made['id']}/requirements", wish)
    thing = {"name": "Basket", "description": "Holds things"}
    feature = await platform.made(f"/requirements/{requirement['id']}/features", thing)
    scopes = ["deployments:read", "deployments:write", "deployments:approve"]
    _, _, machine, _ = robot
    for number, access in enumerate((ada.access, machine)):
        token = {"Authorization": f"Bearer {access}"}
        body = {"name": "mine", "scopes": scopes}
        created = await http.post(f"/v1/organizations/{place}/api-keys", json=body, headers=token)
        key = {"X-API-Key": created.json()["data"]["key"]}
        asked = {"version_tag": f"1.{number}.0", "git_branch": "main", "environment": "production"}
        path = f"/v1/features/{feature['id']}/build-and-deploy"
        begun = await http.post(path, json={**asked, "request_approval": True}, headers=token)
        assert begun.status_code == 202, begun.text
        order = BuildAndDeployInput.model_validate(operations.started[-1][1])
        path = f"/v1/deployments/{begun.json()['data']['resource_id']}/approve"
        assert (await http.post(path, json={}, headers=key)).status_code == 200
        approver = operations.decided[-1][2].person
        with pytest.raises(ForbiddenError, match="four eyes"):
            check_approver(order.approval, requested_by=order.requester, approved_by=[], approver=approver)


async def test_no_token_of_the_same_moment_outlives_a_removal(people, place, rows):
    """Whoever issues holds the membership: the removal comes before it, and there is nobody, or after it."""
    ada = await people.user((place, Role.DEVELOPER))
    async with transaction(rows) as issuing:
        assert await holder_of(issuing, ada.id, place) is not None

        async def remove() -> None:
            async with transaction(rows) as session:
                members = MembershipRepository(session, PLATFORM)
                await session.delete(await members.member(ada.id, place, lock=True))
                await session.flush()

        removal = asyncio.create_task(remove())
        done, _ = await asyncio.wait([removal], timeout=0.2)
        assert not done
    await asyncio.wait_for(removal, 120)
    async with transaction(rows) as session:
        assert await holder_of(session, ada.id, place) is None


async def test_refreshing_and_removing_at_once_leave_nothing_that_works(*, platform, member, place, asker):
    people = [await member() for _ in range(4)]
    answers = await asyncio.gather(
        *(one.refreshed() for one in people),
        *(platform.http.delete(f"/organizations/{place}/members/{one.user.id}") for one in people),
    )
    assert [answer.status_code for answer in answers[len(people) :]] == [204] * len(people)
    for one, answer in zip(people, answers, strict=False):
        await asker.token_ended(one.access)
        if answer.status_code == 200:
            await asker.token_ended(answer.json()["access_token"])


async def test_a_token_of_the_same_second_is_good_after_a_revocation_and_bad_before(settings, rows, place, asker):
    user = new_id()
    subject = Subject(str(user), Role.VIEWER, ["organizations:read"], organization=str(place))

    def token() -> str:
        return token_for(settings, subject)

    async with asyncio.timeout(120):
        while True:  # until a machine that is busy does all of it within one second
            before = token()
            async with transaction(rows) as session:
                await end_tokens(session, str(user), place)
            after = token()
            if len({int(claims_of(one)["iat"]) for one in (before, after)}) == 1:
                break
    await asker.token_ended(before)
    assert await asker.token(after) == {200}


async def test_a_disabled_user_is_out_until_enabled_and_logs_in_anew(*, http, member, place, rows, asker):
    ada = await member("admin")
    key = await key_of(http, place, ada.access)
    await accounts.disable(rows, ada.user.email)
    assert "Log in" in (await ada.browser.http.get(ada.browser.address())).text
    assert (await ada.browser.login(ada.user, INVITED)).status_code == 400
    await asker.token_ended(ada.access)
    await asker.ended(X_API_Key=key)
    await accounts.enable(rows, ada.user.email)
    assert (await ada.refreshed()).json()["error"] == "invalid_grant"
    assert await asker.token(ada.access) == {401}
    assert (await ada.browser.login(ada.user, INVITED)).status_code == 303
    password = await accounts.reset_password(rows, ada.user.email)
    assert (await ada.browser.login(ada.user, password)).status_code == 303
    with pytest.raises(NotFoundError):
        await accounts.disable(rows, "nobody@example.com")


def test_the_command_says_what_it_did(database_url, monkeypatch, capsys):
    monkeypatch.setenv("DELIVERY_DATABASE_URL", database_url)
    assert accounts.main(["disable", "nobody@example.com"]) == 1
    assert capsys.readouterr().err == "nobody has the address nobody@example.com\n"
