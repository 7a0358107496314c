"""Guessing passwords: who guesses is slowed down, whose account it is hardly, and nobody learns who has one."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import func, select, update

from api.app import create_app
from api.http.client_ip import network_of
from api.oauth.login import _account
from api.oauth.throttle import ACCOUNT, LOGIN, StoredThrottle
from api.rate_limits.sensitive_limits import FORMS
from domain.permissions import Role
from storage.engine import transaction
from storage.models import Attempts, User
from storage.repositories.throttle import Policy
from tests.api.conftest import BASE_URL
from tests.api.oauth.conftest import FORM, PASSWORD, QUICK, Flow

ATTACKER = "203.0.113.9"


@pytest.fixture
async def application(people):
    return await people.application(None)


@pytest.fixture
async def ada(people) -> User:
    return await people.user((await people.organization(), Role.VIEWER))


@pytest.fixture(autouse=True)
async def nothing_counted(rows):
    async with transaction(rows) as session:
        await session.execute(Attempts.__table__.delete())


async def guess(browser, user: User, times: int) -> list[int]:
    return [(await browser.login(user, f"guess {number}")).status_code for number in range(times)]


async def keep_blocked(rows, user: User) -> None:
    """The account stays blocked for the rest of the test, however slow the machine is."""
    async with transaction(rows) as session:
        later = func.now() + timedelta(hours=1)
        await session.execute(update(Attempts).where(Attempts.key == account_key(user)).values(blocked_until=later))


def account_key(user: User) -> str:
    return hashlib.sha256(f"login-account\n{_account(user.email)}".encode()).hexdigest()


async def test_who_guesses_waits_longer_each_time(flow, application, ada, rows):
    attacker = flow(application, address=ATTACKER)
    assert await guess(attacker, ada, LOGIN.free - 1) == [400] * (LOGIN.free - 1)
    for wait in (timedelta(seconds=seconds) for seconds in (2, 4, 8)):
        before = await clock(rows)
        assert await guess(attacker, ada, 1) == [400]
        after = await clock(rows)
        async with transaction(rows) as session:
            ends = list(await session.scalars(select(Attempts.blocked_until)))
            later = func.now() + timedelta(hours=1)  # however slow the machine is
            await session.execute(update(Attempts).values(blocked_until=later, expires_at=later))
        assert any(before <= end - wait <= after for end in ends), (before, ends, after)
        slowed = await attacker.login(ada, PASSWORD)
        assert slowed.status_code == 429  # also with the right one
        assert int(slowed.headers["retry-after"]) > 60
        async with transaction(rows) as session:
            await session.execute(update(Attempts).values(blocked_until=func.now() - timedelta(minutes=5)))


async def clock(rows):
    """The database's."""
    async with transaction(rows) as session:
        return await session.scalar(select(func.clock_timestamp()))


async def test_the_victim_logs_in_from_elsewhere_meanwhile(flow, application, ada):
    await guess(flow(application, address=ATTACKER), ada, LOGIN.free + 1)
    assert (await flow(application).login(ada)).status_code == 303


async def test_trying_again_while_others_guess_adds_nothing_to_the_victims_own_wait(flow, application, ada, rows):
    for number in range(ACCOUNT.free):
        await flow(application, address=f"192.0.2.{number}").login(ada, "guess")
    await keep_blocked(rows, ada)
    victim = flow(application, address="192.0.2.200")
    assert [(await victim.login(ada)).status_code for _ in range(LOGIN.free + 1)] == [429] * (LOGIN.free + 1)
    async with transaction(rows) as session:
        blocked = update(Attempts).where(Attempts.key == account_key(ada))
        await session.execute(blocked.values(blocked_until=func.now()))
    assert (await victim.login(ada)).status_code == 303


async def test_behind_a_proxy_everybody_is_somebody_else(*, people, settings, recorder, application, ada):
    proxied = settings.model_copy(update={"trusted_proxies": "10.0.0.1"})
    app = create_app(proxied, make_operations=lambda _: recorder)

    def behind(address: str) -> httpx2.AsyncClient:
        proxy = httpx2.ASGITransport(app=app, client=("10.0.0.1", 50000))
        headers = {"X-Forwarded-For": f"198.51.100.7, {address}"}
        return httpx2.AsyncClient(transport=proxy, base_url=BASE_URL, headers=headers, timeout=30)

    async with app.router.lifespan_context(app), behind(ATTACKER) as theirs, behind("192.0.2.1") as hers:
        parts = app.state.parts
        app.state.parts = replace(parts, oauth=replace(parts.oauth, passwords=QUICK))
        await guess(Flow(theirs, application), ada, LOGIN.free)
        assert (await Flow(theirs, application).login(ada)).status_code == 429
        assert (await Flow(hers, application).login(ada)).status_code == 303


async def test_a_known_device_is_not_slowed_by_a_thousand_others(flow, application, ada, rows):
    home = flow(application)
    assert (await home.login(ada)).status_code == 303
    await home.submit(home.address(), "logout")
    for number in range(ACCOUNT.free):
        await flow(application, address=f"192.0.2.{number}").login(ada, "guess")
    await keep_blocked(rows, ada)
    stranger = flow(application, address="192.0.2.200")
    assert (await stranger.login(ada)).status_code == 429
    assert (await home.login(ada)).status_code == 303


async def test_a_known_device_may_not_guess_for_ever_nor_for_others(*, people, flow, application, ada, rows):
    home = flow(application)
    await home.login(ada)
    await home.submit(home.address(), "logout")
    assert await guess(home, ada, LOGIN.free + 1) == [400] * LOGIN.free + [429]
    bob = await people.user()
    for number in range(ACCOUNT.free):
        await flow(application, address=f"192.0.2.{number}").login(bob, "guess")
    await keep_blocked(rows, bob)
    assert (await home.login(bob, "guess")).status_code == 429


async def test_a_device_mark_that_was_changed_is_none(flow, application, ada, rows):
    home = flow(application)
    await home.login(ada)
    await home.submit(home.address(), "logout")
    mark = home.http.cookies["delivery_device"]
    home.http.cookies.clear()
    home.http.cookies["delivery_device"] = mark[:-6] + "AAAAA="
    for number in range(ACCOUNT.free):
        await flow(application, address=f"192.0.2.{number}").login(ada, "guess")
    await keep_blocked(rows, ada)
    assert (await home.login(ada)).status_code == 429


async def test_nobody_learns_whether_an_account_exists(flow, application, ada):
    nobody = User(email="nobody@example.com")
    real, unreal = flow(application, address=ATTACKER), flow(application, address="203.0.113.77")
    for _ in range(LOGIN.free + 1):
        answers = [await real.login(ada, "guess"), await unreal.login(nobody, "guess")]
        assert answers[0].status_code == answers[1].status_code
        shown = [_without_own(answer.text, user) for answer, user in zip(answers, (ada, nobody), strict=True)]
        assert shown[0] == shown[1]


def _without_own(page: str, user: User) -> str:
    head, _, tail = page.replace(user.email, "").partition('name="form_token" value="')
    return head + tail.partition('"')[2]


async def test_a_hundred_guesses_at_the_same_moment_are_a_hundred(rows):
    throttle, policy = StoredThrottle(rows), replace(LOGIN, first_s=600)  # on a busy machine they take seconds
    waits = await asyncio.gather(*(throttle.attempt("one", policy) for _ in range(40)))
    assert waits.count(0) == policy.free
    assert all(0 < wait <= policy.first_s for wait in waits if wait)


async def test_after_the_window_all_is_forgotten_and_a_success_forgets_at_once(rows):
    throttle, policy = StoredThrottle(rows), Policy(free=2, window_s=60, first_s=30, longest_s=60)
    assert [await throttle.attempt("two", policy) > 0 for _ in range(3)] == [False, False, True]
    async with transaction(rows) as session:
        await session.execute(update(Attempts).values(expires_at=Attempts.expires_at - timedelta(minutes=1)))
    assert await throttle.attempt("two", policy) == 0
    await throttle.attempt("two", policy)
    await throttle.forget("two")
    assert await throttle.attempt("two", policy) == 0
    async with transaction(rows) as session:
        assert "two" not in list(await session.scalars(select(Attempts.key)))


def test_one_household_is_one_party():
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("testclient") == "testclient"


async def test_one_address_sends_so_many_forms_and_the_others_go_on(flow, application, ada):
    [window] = FORMS.windows
    busy = flow(application, address="203.0.113.200")
    answers = [await busy.http.post(busy.address(), content="action=x", headers=FORM) for _ in range(window.limit + 1)]
    assert {answer.status_code for answer in answers[:-1]} == {400}
    assert answers[-1].status_code == 429
    assert 1 <= int(answers[-1].headers["retry-after"]) <= window.seconds
    assert answers[-1].headers["content-type"].startswith("text/html")
    assert (await busy.http.get(busy.address())).status_code == 200
    assert (await flow(application, address="203.0.113.201").login(ada)).status_code == 303
