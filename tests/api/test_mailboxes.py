"""An address is whose mailbox it is: invitations by mail, and claims that are in nobody's way."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, text, update

from api.app import create_app
from domain.permissions import Role
from reconcilers.mail_relay import MailRelay
from runtime.ids import new_id, now
from runtime.mail import Letter, Server, parse_server, send
from runtime.settings import Mode, Settings
from storage.engine import transaction
from storage.models import ApiKey, Mail, Membership, User
from tests.api.conftest import BASE_URL, Caller
from tests.api.http.test_errors import check_error
from tests.api.people import PASSWORD, acceptance, organization
from tests.support.mailbox import Mailbox, mail_server

ACCEPT = "/invitations/accept"
FROM = "engine@delivery.example.com"
OWN = "the owner's password"


@pytest.fixture(scope="module")
async def box() -> AsyncIterator[Mailbox]:
    async with mail_server() as box:
        yield box


@pytest.fixture(scope="module")
def mailing(settings, box) -> Settings:
    given = {**settings.model_dump(), "smtp_url": box.url, "mail_from": FROM, "mails_per_organization": 6}
    return Settings(**{**given, "mails_per_address": 3})


async def serving(settings: Settings, recorder: Any) -> AsyncIterator[FastAPI]:
    app = create_app(settings, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
async def posted(mailing, recorder) -> AsyncIterator[FastAPI]:
    """An application that sends mails."""
    async for app in serving(mailing, recorder):
        yield app


@dataclass(frozen=True)
class Post:
    """An application that sends mails, and where they arrive."""

    app: FastAPI
    settings: Settings
    relay: MailRelay
    box: Mailbox

    async def send(self) -> None:
        while await self.relay.reconcile():
            pass


@pytest.fixture
def post(posted, mailing, rows, box) -> Post:
    server = parse_server(mailing.smtp_url.get_secret_value())
    return Post(posted, mailing, MailRelay(rows, posted.state.parts.sealer, server, mailing.mail_from), box)


@pytest.fixture
async def browser(posted) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=posted)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL, timeout=30) as client:
        yield client


async def place(platform, post: Post, slug: str) -> tuple[str, Caller]:
    """An organization and its admin."""
    org = await organization(platform, slug, max_users=50)
    return org, Caller(post.app, post.settings, Role.ADMIN, org)


async def invite(admin: Caller, org: str, address: str, role: str = "viewer") -> httpx2.Response:
    return await admin.post(f"/organizations/{org}/invitations", {"email": address, "role": role})


def link_in(letter) -> str:
    return re.search(r"http\S+", letter.get_content())[0]


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


async def users(rows, address: str) -> list[User]:
    async with transaction(rows) as session:
        return list(await session.scalars(select(User).where(User.email == address).order_by(User.created_at)))


async def test_with_a_mail_server_only_the_mailbox_gets_the_link(platform, post, browser, rows):
    org, admin = await place(platform, post, "by-mail")
    answer = await invite(admin, org, "ada@example.com")
    made = answer.json()["data"]
    assert (answer.status_code, made["delivery"], made["token"], made["link"]) == (201, "mail", None, None)
    assert "inv-" not in answer.text
    async with transaction(rows) as session:
        held = str((await session.execute(text("SELECT m::text FROM mails m"))).all())
    assert "inv-" not in held
    await post.send()
    [letter] = post.box.to("ada@example.com")
    assert (letter["From"], letter["Auto-Submitted"]) == (FROM, "auto-generated")
    assert "by-mail" in letter["Subject"]
    link = link_in(letter)
    page = await browser.get(link.removeprefix(BASE_URL))
    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "no-referrer"
    form = {"token": token_of(link), "name": "Ada", "password": "short"}
    refused = await browser.post("/oauth/invitation", data=form)
    assert (refused.status_code, "There is a problem" in refused.text) == (400, True)
    assert "short" not in refused.text.split("<form", 1)[1].replace('value="short"', "short")
    done = await browser.post("/oauth/invitation", data={**form, "password": OWN})
    assert (done.status_code, "You are a member now" in done.text) == (200, True)
    [user] = await users(rows, "ada@example.com")
    assert user.email_verified_at is not None
    members = (await admin.get(f"/organizations/{org}/members")).json()["data"]
    assert [(one["email"], one["email_verified"]) for one in members] == [("ada@example.com", True)]


async def test_who_accepted_under_anothers_address_is_not_in_the_way_of_its_owner(platform, caller, post, rows):
    """The squatter's account was made without a mail server; the owner comes by mail."""
    squat = await organization(platform, "squatters", max_users=50)
    given = await invite(caller(Role.ADMIN, squat), squat, "victim@example.com")
    token = given.json()["data"]["token"]
    assert given.json()["data"]["delivery"] == "handed"
    taken = await platform.post(ACCEPT, acceptance(token, password="the squatter's own"))
    assert (taken.status_code, taken.json()["data"]["email_verified"]) == (200, False)
    org, admin = await place(platform, post, "rightful")
    assert (await invite(admin, org, "victim@example.com")).status_code == 201
    await post.send()
    [letter] = post.box.to("victim@example.com")
    mine = await platform.post(ACCEPT, acceptance(token_of(link_in(letter)), password=OWN, name="Victim"))
    assert (mine.status_code, mine.json()["data"]["email_verified"]) == (200, True), mine.text
    squatter, owner = await users(rows, "victim@example.com")
    assert (squatter.email_verified_at, str(owner.id)) == (None, mine.json()["data"]["id"])
    assert squatter.id != owner.id
    # From now on the address is theirs alone: nobody claims it again without their password.
    third = await organization(platform, "squatters-too")
    again = (await invite(caller(Role.ADMIN, third), third, "victim@example.com")).json()["data"]["token"]
    answer = await platform.post(ACCEPT, acceptance(again, password="another squatter's"))
    check_error(answer, 401, "AUTHENTICATION_FAILED")
    assert "accept with that account's password" in answer.json()["error"]["message"]


async def test_who_only_claimed_a_mailbox_keeps_nothing_once_it_is_shown_to_be_anothers(platform, caller, post, rows):
    """Neither seats nor keys, which outlived the end of their logins; nor is a member of theirs in the owner's way."""
    places = [await organization(platform, f"kept-{new_id()}", max_users=9) for _ in range(2)]
    squatter, keys = None, []
    for org in places:
        token = (await invite(caller(Role.ADMIN, org), org, "claimant@example.com", "admin")).json()["data"]["token"]
        taken = await platform.post(ACCEPT, acceptance(token, password="the squatter's own"))
        squatter = taken.json()["data"]["id"]
        key = await caller(Role.ADMIN, org, subject=squatter).made(
            f"/organizations/{org}/api-keys", {"name": "k", "scopes": ["projects:read"]}
        )
        keys.append(key["key"])
    org, admin = await place(platform, post, f"owners-{new_id()}")
    assert (await invite(admin, org, "claimant@example.com")).status_code == 201
    # The organization that has the squatter as a member can invite the owner as well.
    theirs = Caller(post.app, post.settings, Role.ADMIN, places[0])
    assert (await invite(theirs, places[0], "claimant@example.com")).status_code == 201
    await post.send()
    letters = post.box.to("claimant@example.com")
    mine = await platform.post(ACCEPT, acceptance(token_of(link_in(letters[0])), password=OWN, name="Owner"))
    assert (mine.status_code, mine.json()["data"]["email_verified"]) == (200, True), mine.text
    async with transaction(rows) as session:
        assert (await session.get(User, UUID(squatter))).disabled_at is not None
        assert not (await session.scalars(select(Membership).where(Membership.user_id == UUID(squatter)))).all()
        made = (await session.scalars(select(ApiKey).where(ApiKey.creator_id == UUID(squatter)))).all()
        assert [key.revoked_at is not None for key in made] == [True, True]
    for key in keys:
        answer = await platform.http.get("/organizations", headers={"X-API-Key": key, "Authorization": ""})
        assert answer.status_code == 401


async def test_without_a_mail_server_a_claim_blocks_nobody_either(platform, caller, rows, app):
    first, second = await organization(platform, "claims-one"), await organization(platform, "claims-two")
    for org, password in ((first, "the squatter's own"), (second, OWN)):
        token = (await invite(caller(Role.ADMIN, org), org, "claimed@example.com")).json()["data"]["token"]
        answer = await platform.post(ACCEPT, acceptance(token, password=password))
        assert answer.status_code == 200, answer.text
    one, two = await users(rows, "claimed@example.com")
    assert one.id != two.id
    # Each logs in with their own password, as themselves.
    for password, user in (("the squatter's own", one), (OWN, two)):
        assert await logged_in_as(app, "claimed@example.com", password) == user.id
    assert await logged_in_as(app, "claimed@example.com", "nobody's") is None


async def logged_in_as(app: FastAPI, address: str, password: str) -> UUID | None:
    """Whose session a login at the page of the command line begins."""
    query = (
        "/oauth/authorize?response_type=code&client_id=0193b5a0-0000-7000-8000-00000000c11e"
        "&redirect_uri=http://127.0.0.1:8976/callback&state=x"
        f"&code_challenge={'a' * 43}&code_challenge_method=S256"
    )
    parts = app.state.parts
    from api.cli.bootstrap_admin import _add_command_line  # noqa: PLC0415 - the platform's own application

    async with transaction(parts.sessions) as session:
        await _add_command_line(session)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL, timeout=30) as client:
        page = await client.get(query)
        form_token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]
        form = {"form_token": form_token, "action": "login", "email": address, "password": password}
        if (await client.post(query, data=form)).status_code != 303:
            return None
    async with transaction(parts.sessions) as session:
        found = await session.execute(text("SELECT user_id FROM login_sessions ORDER BY created_at DESC LIMIT 1"))
        return found.scalar_one()


async def test_mails_are_bounded_by_organization_and_by_address(platform, post, rows):
    org, admin = await place(platform, post, "spamming")
    path = f"/organizations/{org}/invitations"
    for number in range(3):  # revoked and invited again: it is the same mailbox
        made = await invite(admin, org, "again@example.com")
        assert made.status_code == 201, f"{number}: {made.text}"
        assert (await admin.http.delete(f"{path}/{made.json()['data']['id']}")).status_code == 204
    refused = await invite(admin, org, "again@example.com")
    assert "this address had 3 mails" in check_error(refused, 429, "RATE_LIMIT_EXCEEDED")["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    other, other_admin = await place(platform, post, "spamming-too")
    check_error(await invite(other_admin, other, "again@example.com"), 429, "RATE_LIMIT_EXCEEDED")
    for number in range(3):
        assert (await invite(admin, org, f"someone{number}@example.com")).status_code == 201
    too_many = await invite(admin, org, "onemore@example.com")
    assert "your organization had 6 mails" in check_error(too_many, 429, "RATE_LIMIT_EXCEEDED")["message"]
    assert (await invite(other_admin, other, "fine@example.com")).status_code == 201
    async with transaction(rows) as session:
        day_ago = update(Mail).values(created_at=now() - timedelta(days=1, seconds=1))
        await session.execute(day_ago.where(Mail.organization_id == UUID(org)))
    assert (await invite(admin, org, "onemore@example.com")).status_code == 201


async def test_a_mail_waits_for_a_server_that_is_away_and_ends_at_one_that_refuses(platform, post, rows):
    org, admin = await place(platform, post, "waiting")
    for answer, status, sealed in (("451 try later", "pending", True), ("550 no such mailbox", "failed", False)):
        address = f"u{new_id()}@example.com"
        assert (await invite(admin, org, address)).status_code == 201
        async with transaction(rows) as session:  # those of other tests are none of this one's business
            others = update(Mail).where(Mail.recipient != address, Mail.status == "pending")
            await session.execute(others.values(status="failed"))
        post.box.refusals.append(answer)
        await post.send()
        async with transaction(rows) as session:
            mail = await session.scalar(select(Mail).where(Mail.recipient == address))
        assert (mail.status, mail.attempts, mail.sealed_text is not None) == (status, 1, sealed)
        assert answer[:3] in mail.last_error
        assert post.box.to(address) == []
        async with transaction(rows) as session:
            await session.execute(update(Mail).where(Mail.recipient == address).values(due_at=now()))
        await post.relay.reconcile()
        assert len(post.box.to(address)) == (1 if sealed else 0)


async def test_a_mail_with_a_fault_nobody_expected_is_tried_later_and_keeps_no_other(platform, post, rows, monkeypatch):
    org, admin = await place(platform, post, "odd-mail")
    odd, even = (f"u{new_id()}@example.com" for _ in range(2))
    for address in (odd, even):
        assert (await invite(admin, org, address)).status_code == 201

    async def hand_over(server: Server, letter: Letter) -> None:
        if letter.recipient == odd:
            raise KeyError("nobody thought of this")
        await send(server, letter)

    monkeypatch.setattr(post.relay, "_post", hand_over)
    await post.send()
    assert len(post.box.to(even)) == 1
    async with transaction(rows) as session:
        mail = await session.scalar(select(Mail).where(Mail.recipient == odd))
    assert (mail.status, mail.last_error, mail.sealed_text is not None) == ("pending", "KeyError", True)


async def test_nobody_is_written_to_about_a_revoked_invitation(platform, post):
    org, admin = await place(platform, post, "revoking")
    made = (await invite(admin, org, "revoked@example.com")).json()["data"]
    await admin.http.delete(f"/organizations/{org}/invitations/{made['id']}")
    await post.send()
    assert post.box.to("revoked@example.com") == []


@pytest.fixture
async def production(settings, recorder) -> AsyncIterator[FastAPI]:
    """An application in production, without a mail server."""
    async for app in serving(settings.model_copy(update={"mode": Mode.PRODUCTION}), recorder):
        yield app


async def test_in_production_without_mail_the_operator_hands_links_over(production, platform, settings):
    org = await organization(platform, "operated")
    admin = Caller(production, settings, Role.ADMIN, org)
    refused = check_error(await invite(admin, org, "no@example.com"), 403, "AUTHORIZATION_DENIED")
    assert "DELIVERY_SMTP_URL" in refused["message"]
    operator = Caller(production, settings, Role.PLATFORM_ADMIN)
    made = (await invite(operator, org, "yes@example.com")).json()["data"]
    assert made["delivery"] == "handed"
    answer = await operator.post(ACCEPT, acceptance(token_of(made["link"]), password=PASSWORD))
    assert (answer.status_code, answer.json()["data"]["email_verified"]) == (200, True)


@pytest.mark.parametrize(
    "url", ["http://mail", "smtp://", "smtp://mail/path", "mail", "smtp://mail?tls=no", "smtp://mail:port"]
)
def test_what_is_no_mail_server_stops_the_process_without_showing_the_password(url):
    with pytest.raises(ValueError, match="smtp_url"):
        Settings(smtp_url=url.replace("://", "://me:geheim@"), mail_from=FROM)


def test_mail_needs_a_sender_and_in_production_tls():
    with pytest.raises(ValueError, match="e-mail address"):
        Settings(smtp_url="smtps://mail.example.com")
    with pytest.raises(ValueError, match="plain text is for the embedded mode"):
        Settings(smtp_url="smtp+plain://mail.example.com", mail_from=FROM, mode=Mode.PRODUCTION)


async def test_a_mail_put_off_before_the_clock_was_set_back_is_sent_now(platform, post, rows):
    """It waited until the clock came there again."""
    org, admin = await place(platform, post, "clock-set-back")
    assert (await invite(admin, org, "late@example.com")).status_code == 201
    async with transaction(rows) as session:
        ours = update(Mail).where(Mail.recipient == "late@example.com")
        await session.execute(ours.values(due_at=now() + timedelta(hours=2)))
    await post.send()
    assert len(post.box.to("late@example.com")) == 1
