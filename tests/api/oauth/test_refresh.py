"""Refresh tokens: rotated at each use, and worth nothing any more once somebody else has used one."""

import asyncio
from datetime import timedelta
from uuid import UUID

import jwt
import pytest
from sqlalchemy import delete, select, update

from domain.permissions import Role
from runtime.credentials import digest
from runtime.ids import now
from storage.engine import transaction
from storage.models import Client, Grant, Membership, RefreshToken, User
from tests.api.oauth.conftest import post


@pytest.fixture
async def place(people) -> UUID:
    return await people.organization()


@pytest.fixture
async def ada(people, place) -> User:
    return await people.user((place, Role.RELEASE_MANAGER))


@pytest.fixture
async def browser(people, flow, place):
    return flow(await people.application(place))


def claims_of(answer) -> dict[str, object]:
    return jwt.decode(answer.json()["access_token"], options={"verify_signature": False})


async def test_each_use_gives_new_tokens_of_the_same_family(browser, ada, use):
    first = await browser.tokens(ada)
    second = await browser.refresh(first["refresh_token"])
    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]
    family = jwt.decode(first["access_token"], options={"verify_signature": False})["family"]
    assert claims_of(second)["family"] == family
    assert await use(second.json()["access_token"]) == 200
    assert (await browser.refresh(second.json()["refresh_token"])).status_code == 200


async def test_a_second_use_ends_the_family_and_its_access_tokens(browser, ada, refused_soon):
    first = await browser.tokens(ada)
    second = (await browser.refresh(first["refresh_token"])).json()
    stolen = await browser.refresh(first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert (await browser.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    for tokens in (first, second):
        await refused_soon(tokens["access_token"])


async def test_of_many_uses_at_once_one_wins_and_nobody_keeps_anything(browser, ada):
    token = (await browser.tokens(ada))["refresh_token"]
    answers = await asyncio.gather(*(browser.refresh(token) for _ in range(6)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert (await browser.refresh(won[0].json()["refresh_token"])).status_code == 400


async def test_the_role_is_that_of_the_moment(browser, ada, place, rows):
    tokens = await browser.tokens(ada, scope="projects:read projects:write deployments:approve")
    async with transaction(rows) as session:
        mine = update(Membership).where(Membership.user_id == ada.id)
        await session.execute(mine.values(role=Role.VIEWER))
    weaker = await browser.refresh(tokens["refresh_token"])
    assert (claims_of(weaker)["role"], weaker.json()["scope"]) == ("viewer", "projects:read")
    async with transaction(rows) as session:
        await session.execute(delete(Membership).where(Membership.user_id == ada.id))
    gone = await browser.refresh(weaker.json()["refresh_token"])
    assert (gone.status_code, gone.json()["error"]) == (400, "invalid_grant")


async def test_less_can_be_asked_for_more_cannot(browser, ada):
    tokens = await browser.tokens(ada, scope="projects:read projects:write")
    less = await browser.refresh(tokens["refresh_token"], scope="projects:read")
    assert less.json()["scope"] == "projects:read"
    more = await browser.refresh(less.json()["refresh_token"], scope="projects:read features:read")
    assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")
    again = await browser.refresh(less.json()["refresh_token"])
    assert again.json()["scope"] == "projects:read projects:write"


async def test_thirty_days_after_the_login_it_is_over_however_often_it_was_used(browser, ada, rows):
    tokens = await browser.tokens(ada)
    async with transaction(rows) as session:
        mine = Grant.user_id == ada.id
        expires = await session.scalar(select(Grant.expires_at).where(mine))
        assert timedelta(days=29, hours=23) < expires - now() <= timedelta(days=30)
        await session.execute(update(Grant).where(mine).values(expires_at=expires - timedelta(days=15)))
    tokens = (await browser.refresh(tokens["refresh_token"])).json()
    async with transaction(rows) as session:
        left = await session.scalar(select(Grant.expires_at).where(mine)) - now()
        assert left < timedelta(days=15)
        await session.execute(update(Grant).where(mine).values(expires_at=now()))
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_another_client_can_do_nothing_with_it(people, flow, place, browser, ada):
    token = (await browser.tokens(ada))["refresh_token"]
    thief = flow(await people.application(place))
    assert (await thief.refresh(token)).json()["error"] == "invalid_grant"
    assert (await post(thief.http, "revoke", {"token": token, **thief.client.form})).status_code == 400
    assert (await browser.refresh(token)).status_code == 200


async def test_a_disabled_client_gets_nothing_more(people, browser, ada):
    token = (await browser.tokens(ada))["refresh_token"]
    await people.change(Client, UUID(browser.client.id), disabled_at=now())
    answer = await browser.refresh(token)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_only_a_digest_is_stored(browser, ada, rows):
    token = (await browser.tokens(ada))["refresh_token"]
    assert token.startswith("rt-")
    async with transaction(rows) as session:
        hashes = list(await session.scalars(select(RefreshToken.token_hash)))
    assert digest(token) in hashes
    assert token not in hashes


async def test_revoking_it_ends_the_family(browser, ada, refused_soon):
    tokens = await browser.tokens(ada)
    done = await post(browser.http, "revoke", {"token": tokens["refresh_token"], **browser.client.form})
    assert done.status_code == 200
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    await refused_soon(tokens["access_token"])
    assert (await post(browser.http, "revoke", {"token": "unknown", **browser.client.form})).status_code == 200


async def test_revoking_an_access_token_leaves_the_family(browser, ada, refused_soon):
    tokens = await browser.tokens(ada)
    form = {"token": tokens["access_token"], "token_type_hint": "refresh_token", **browser.client.form}
    assert (await post(browser.http, "revoke", form)).status_code == 200
    await refused_soon(tokens["access_token"])
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200
