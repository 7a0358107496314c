"""The authorization code flow: from a login page to tokens, and everything on the way that is refused."""

import asyncio
from datetime import timedelta
from uuid import UUID

import jwt
import pytest
from sqlalchemy import update

from domain.permissions import Role
from runtime.ids import now
from storage.engine import transaction
from storage.models import Client, Grant, Membership, User
from tests.api.conftest import BASE_URL
from tests.api.oauth.conftest import REDIRECT, returned, text_of


@pytest.fixture
async def place(people) -> UUID:
    return await people.organization()


@pytest.fixture
async def ada(people, place) -> User:
    return await people.user((place, Role.DEVELOPER))


async def test_somebody_logs_in_allows_and_the_application_gets_tokens(people, flow, place, ada, use):
    browser = flow(await people.application(place))
    tokens = await browser.tokens(ada, scope="organizations:read projects:read deployments:approve")
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert jwt.get_unverified_header(tokens["access_token"])["typ"] == "at+jwt"
    assert claims["permissions"] == ["organizations:read", "projects:read"]  # approving is not a developer's
    assert (claims["sub"], claims["org"], claims["email"]) == (str(ada.id), str(place), ada.email)
    assert (claims["role"], claims["client_id"], claims["aud"]) == ("developer", browser.client.id, "delivery-engine")
    assert (claims["iss"], claims["exp"] - claims["iat"]) == (BASE_URL, 3600)
    assert {"jti", "family"} <= claims.keys()
    assert tokens["scope"] == claims["scope"] == "organizations:read projects:read"
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    assert await use(tokens["access_token"]) == 200


async def test_the_application_gets_its_state_back_and_who_answers(people, flow, place, ada):
    browser = flow(await people.application(place))
    await browser.login(ada)
    back = await browser.submit(browser.address(), "allow")
    assert back.headers["location"].startswith(REDIRECT + "?")
    assert (returned(back)["state"], returned(back)["iss"]) == ("xyz & 1", BASE_URL)
    refused = returned(await browser.submit(browser.address(), "deny"))
    assert (refused["error"], refused["state"], refused["iss"]) == ("access_denied", "xyz & 1", BASE_URL)


async def test_answers_with_tokens_are_kept_by_nobody(people, flow, place, ada):
    browser = flow(await people.application(place))
    answer = await browser.exchange(await browser.code(ada))
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


@pytest.mark.parametrize(
    "wrong",
    [
        {"redirect_uri": "https://app.example.com/cb/"},
        {"redirect_uri": "https://app.example.com/cb?x=1"},
        {"redirect_uri": "https://evil.example.com/cb"},
        {"redirect_uri": 'https://app.example.com/"cb'},
        {"redirect_uri": None},
        {"client_id": "0193b5a0-0000-7000-8000-000000000000"},
        {"client_id": "nobody"},
        {"client_id": None},
    ],
)
async def test_nobody_is_sent_to_an_address_that_the_client_did_not_register(people, flow, place, wrong):
    browser = flow(await people.application(place))
    answer = await browser.http.get(browser.address(**wrong))
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert "This cannot go on" in answer.text


async def test_a_public_application_on_this_machine_takes_any_port(people, flow, place, ada):
    """RFC 8252, 7.3: two logins at once on one machine cannot have the same."""
    client = await people.application(place, uris=("http://127.0.0.1:8976/callback", "http://[::1]/cb"))
    for redirect in ("http://127.0.0.1:49152/callback", "http://[::1]:50000/cb"):
        browser = flow(client, redirect=redirect)
        assert (await browser.tokens(ada))["access_token"]


async def test_the_port_of_a_code_is_the_one_that_it_was_asked_with(people, flow, place, ada):
    client = await people.application(place, uris=("http://127.0.0.1:8976/callback",))
    browser = flow(client, redirect="http://127.0.0.1:49152/callback")
    answer = await browser.exchange(await browser.code(ada), redirect_uri="http://127.0.0.1:8976/callback")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("public", [True, False])
async def test_no_port_but_of_public_applications_on_this_machine_is_free(people, flow, place, public):
    uris = ("https://app.example.com/cb", "http://localhost:8976/cb", "http://127.0.0.1:8976/cb")
    client = await people.application(place, public=public, uris=uris)
    free = {"http://127.0.0.1:49152/cb"} if public else set()
    for redirect in (
        "http://127.0.0.1:49152/cb",
        "http://127.0.0.1:49152/cb/",
        "http://127.0.0.2:8976/cb",
        "http://localhost:49152/cb",
        "https://app.example.com:8443/cb",
    ):
        browser = flow(client, redirect=redirect)
        answer = await browser.http.get(browser.address())
        assert (answer.status_code == 200) is (redirect in free), redirect


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "root:everything"}, "invalid_scope"),
    ],
)
async def test_the_application_learns_of_its_own_faults_by_its_users_only(*, people, flow, place, wrong, error):
    browser = flow(await people.application(place))
    stranger = flow(await people.application(await people.organization()))
    for one in (browser, stranger):
        assert (await one.login(await people.user((place, Role.VIEWER)))).status_code == 303
    answer = await browser.http.get(browser.address(**wrong))
    assert answer.status_code == 303
    assert (returned(answer)["error"], returned(answer)["state"]) == (error, "xyz & 1")
    for nobody in (flow(browser.client), stranger):
        page = await nobody.http.get(nobody.address(**wrong))
        assert (page.status_code, page.headers.get("location")) == (400, None)
        assert "This cannot go on" in page.text


async def test_parameters_given_twice_are_refused(people, flow, place):
    browser = flow(await people.application(place))
    answer = await browser.http.get(browser.address() + "&client_id=another")
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_disabled_clients_and_service_accounts_have_no_pages(people, flow, place, ada):
    disabled, machine = await people.application(place), await people.machine(place)
    await people.change(Client, UUID(disabled.id), disabled_at=now())
    await people.change(Client, UUID(machine.id), redirect_uris=[REDIRECT])
    assert (await flow(disabled).http.get(flow(disabled).address())).status_code == 400
    browser = flow(await people.application(place))
    await browser.login(ada)
    browser.client = machine
    answer = await browser.http.get(browser.address())
    assert returned(answer)["error"] == "unauthorized_client"


async def test_a_form_without_this_browsers_token_does_nothing(people, flow, place, ada):
    browser, other = flow(await people.application(place)), flow(await people.application(place))
    await browser.login(ada)
    foreign = (await other.http.get(other.address())).text.split('name="form_token" value="')[1].split('"')[0]
    for token in ("", foreign):
        answer = await browser.submit(browser.address(), "allow", form_token=token)
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
        assert "open for too long" in answer.text


async def test_logging_in_changes_the_cookie_and_logging_out_ends_it(people, flow, place, ada):
    browser = flow(await people.application(place))
    await browser.http.get(browser.address())
    before = browser.http.cookies["delivery_session"]
    await browser.login(ada)
    during = browser.http.cookies["delivery_session"]
    assert before != during
    assert (await browser.submit(browser.address(), "logout")).status_code == 303
    browser.http.cookies.clear()
    browser.http.cookies["delivery_session"] = during
    assert "Log in to continue" in (await browser.http.get(browser.address())).text


async def test_the_pages_let_nothing_in_and_say_what_is_wrong(people, flow, place, ada):
    browser = flow(await people.application(place))
    page = await browser.http.get(browser.address())
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self';" in policy
    assert "<script" not in page.text
    assert "Build &lt;Board&gt;" in page.text
    cookie = page.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    wrong = await browser.login(ada, "not the password")
    assert wrong.status_code == 400
    assert 'role="alert"' in wrong.text
    assert "<title>Error: Log in" in wrong.text
    await browser.login(ada)
    consent = await browser.http.get(browser.address())
    assert "form-action 'self' https://app.example.com;" in consent.headers["content-security-policy"]


async def test_who_is_in_several_organizations_chooses_one(people, flow, place):
    second = await people.organization()
    eve = await people.user((place, Role.VIEWER), (second, Role.ADMIN))
    browser = flow(await people.application(None))
    await browser.login(eve)
    unchosen = await browser.submit(browser.address(), "allow")
    assert "Choose where" in unchosen.text
    foreign = await browser.submit(browser.address(), "allow", place=str(await people.organization()))
    assert "Choose where" in foreign.text
    tokens = await browser.tokens(eve, second)
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["org"], claims["role"]) == (str(second), "admin")


async def test_an_organizations_application_is_for_its_members_only(people, flow, place, ada):
    browser = flow(await people.application(await people.organization()))
    await browser.login(ada)
    page = await browser.http.get(browser.address())
    assert page.status_code == 403
    assert "in no organization" in text_of(page)


async def test_a_platform_admin_may_act_for_the_platform(people, flow, use):
    boss = await people.user(admin=True)
    browser = flow(await people.application(None))
    tokens = await browser.tokens(boss)
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["org"], claims["role"]) == (None, "platform_admin")
    assert await use(tokens["access_token"]) == 200


async def test_a_client_gets_no_more_than_its_own_scopes(people, flow, place, ada):
    browser = flow(await people.application(place, scopes=("projects:read", "features:read")))
    assert (await browser.tokens(ada))["scope"] == "features:read projects:read"
    assert (await browser.tokens(ada, scope="projects:read projects:write"))["scope"] == "projects:read"


async def test_a_code_is_bound_to_verifier_address_and_client(people, flow, place, ada):
    browser = flow(await people.application(place))
    code = await browser.code(ada)
    other = await people.application(place)
    wrong = [
        {"code_verifier": "a" * 64},
        {"code_verifier": ""},
        {"redirect_uri": "https://app.example.com/other"},
        {"redirect_uri": ""},
        {"client_id": other.id},
        {"code": "made up"},
    ]
    for change in wrong:
        answer = await browser.exchange(code, **change)
        assert answer.status_code == 400, change
        assert answer.json()["error"] in {"invalid_grant", "invalid_request"}, change
    assert (await browser.exchange(code)).status_code == 200


async def test_a_confidential_application_needs_its_secret_too(people, flow, place, ada):
    client = await people.application(place, public=False)
    browser = flow(client)
    code = await browser.code(ada)
    for form in ({"client_secret": "cs-wrong"}, {"client_secret": ""}):
        answer = await browser.exchange(code, **form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert (await browser.exchange(code)).status_code == 200


async def test_a_code_used_twice_takes_everything_back(*, people, flow, place, ada, use, refused_soon):
    browser = flow(await people.application(place))
    code = await browser.code(ada)
    tokens = (await browser.exchange(code)).json()
    assert await use(tokens["access_token"]) == 200
    again = await browser.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    await refused_soon(tokens["access_token"])


async def test_a_code_is_good_for_a_minute(people, flow, place, ada, rows):
    browser = flow(await people.application(place))
    code = await browser.code(ada)
    async with transaction(rows) as session:
        mine = update(Grant).where(Grant.user_id == ada.id)
        await session.execute(mine.values(expires_at=Grant.expires_at - timedelta(seconds=60)))
    assert (await browser.exchange(code)).json()["error"] == "invalid_grant"


async def test_of_two_at_once_with_one_code_at_most_one_gets_tokens(people, flow, place, ada):
    browser = flow(await people.application(place))
    code = await browser.code(ada)
    answers = await asyncio.gather(*(browser.exchange(code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]


async def test_who_is_disabled_or_was_removed_meanwhile_gets_nothing(people, flow, place, ada, rows):
    browser = flow(await people.application(place))
    code = await browser.code(ada)
    await people.change(User, ada.id, disabled_at=now())
    assert (await browser.exchange(code)).json()["error"] == "invalid_grant"
    assert "Log in to continue" in (await browser.http.get(browser.address())).text
    assert (await browser.login(ada)).status_code == 400
    bob = await people.user((place, Role.VIEWER))
    code = await browser.code(bob)
    async with transaction(rows) as session:
        await session.execute(Membership.__table__.delete().where(Membership.user_id == bob.id))
    assert (await browser.exchange(code)).json()["error"] == "invalid_grant"
