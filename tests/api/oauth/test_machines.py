"""Service accounts, introspection, and how the endpoints of programs speak."""

import base64
from uuid import UUID

import jwt
import pytest

from api.rate_limits.sensitive_limits import CLIENT_TOKENS, TOKENS
from domain.permissions import Role
from runtime.ids import now
from storage.models import Client, User
from tests.api.oauth.conftest import post

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
async def place(people) -> UUID:
    return await people.organization()


@pytest.fixture
async def machine(people, place):
    return await people.machine(place)


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def test_a_service_account_gets_a_token_by_header_or_by_body(http, machine, place, use):
    by_header = await post(http, "token", GRANT, headers=basic(machine.id, machine.secret))
    by_body = await post(http, "token", {**GRANT, **machine.form})
    for answer in (by_header, by_body):
        body = answer.json()
        assert answer.status_code == 200, body
        assert "refresh_token" not in body
        claims = jwt.decode(body["access_token"], options={"verify_signature": False})
        assert (claims["sub"], claims["client_id"]) == (machine.id, machine.id)
        assert (claims["org"], claims["role"], claims["email"]) == (str(place), "developer", "")
        assert "projects:write" in claims["permissions"]
        assert await use(body["access_token"]) == 200


async def test_scopes_cut_down_what_the_role_grants(http, people, place):
    machine = await people.machine(place, Role.VIEWER, scopes=("projects:read", "projects:write", "features:read"))

    async def scope_of(asked: str) -> str:
        answer = await post(http, "token", {**GRANT, "scope": asked, **machine.form})
        return answer.json().get("scope") or answer.json()["error"]

    assert await scope_of("") == "features:read projects:read"
    assert await scope_of("projects:read projects:write") == "projects:read"
    assert await scope_of("projects:write") == "invalid_scope"
    assert await scope_of("tests:read") == "invalid_scope"
    assert await scope_of("root:everything") == "invalid_scope"


async def test_wrong_secrets_and_disabled_or_unknown_clients_get_the_same_answer(http, people, machine, place):
    disabled = await people.machine(place)
    await people.change(Client, UUID(disabled.id), disabled_at=now())
    unknown = "0193b5a0-0000-7000-8000-000000000000"
    wrong = [(machine.id, "cs-wrong"), (disabled.id, disabled.secret), (unknown, "cs-x"), ("nobody", "cs-x")]
    answers = [await post(http, "token", GRANT, headers=basic(*pair)) for pair in wrong]
    answers += [await post(http, "token", {**GRANT, "client_id": one, "client_secret": two}) for one, two in wrong]
    answers += [await post(http, "token", {**GRANT, "client_id": machine.id}), await post(http, "token", GRANT)]
    answers.append(await post(http, "token", GRANT, headers={"Authorization": "Basic !"}))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["error"] == "invalid_client"
    assert answers[0].headers["www-authenticate"].startswith("Basic")


async def test_requests_that_cannot_be_read_are_refused_in_the_protocols_words(http, machine, people, place):
    twice = "grant_type=client_credentials&grant_type=client_credentials"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    public = await people.application(place)
    answers = {
        "json": await http.post("/oauth/token", json=GRANT),
        "twice": await http.post("/oauth/token", content=twice, headers=form),
        "not utf-8": await http.post("/oauth/token", content="a=%ff", headers=form),
        "both ways": await post(http, "token", {**GRANT, **machine.form}, headers=basic(machine.id, machine.secret)),
        "two clients": await post(
            http, "token", {**GRANT, "client_id": public.id}, headers=basic(machine.id, machine.secret)
        ),
        "no grant": await post(http, "token", machine.form),
        "password grant": await post(http, "token", {"grant_type": "password", **machine.form}),
        "quote": await post(http, "token", {"grant_type": 'x"', **machine.form}),
        "not for machines": await post(http, "token", {"grant_type": "authorization_code", **machine.form}),
        "not for people": await post(http, "token", {**GRANT, **public.form}),
    }
    for name, answer in answers.items():
        assert answer.status_code in {400, 401}, name
        assert answer.headers["cache-control"] == "no-store", name
        assert answer.json().keys() == {"error", "error_description"}, name
    assert answers["password grant"].json()["error"] == "unsupported_grant_type"
    assert answers["not for machines"].json()["error"] == "unauthorized_client"


async def test_a_client_looks_up_tokens_of_its_organization_and_no_others(http, people, machine, place):
    colleague, stranger = await people.machine(place), await people.machine(await people.organization())
    public = await people.application(place)
    token = (await post(http, "token", {**GRANT, **machine.form})).json()["access_token"]
    for who in (machine, colleague):
        found = (await post(http, "introspect", {"token": token, **who.form})).json()
        assert found["active"] is True
        assert (found["sub"], found["client_id"], found["org"]) == (machine.id, machine.id, str(place))
        assert {"scope", "exp", "iat", "iss", "aud", "jti"} <= found.keys()
    assert (await post(http, "introspect", {"token": token, **stranger.form})).json() == {"active": False}
    assert (await post(http, "introspect", {"token": "junk", **machine.form})).json() == {"active": False}
    assert (await post(http, "introspect", {"token": token, **public.form})).status_code == 401
    assert (await post(http, "introspect", {"token": token})).status_code == 401
    assert (await post(http, "introspect", machine.form)).json()["error"] == "invalid_request"


async def test_a_refresh_token_is_looked_up_too(http, flow, people, place, machine):
    user = await people.user((place, Role.VIEWER))
    browser = flow(await people.application(place))
    token = (await browser.tokens(user))["refresh_token"]
    found = (await post(http, "introspect", {"token": token, **machine.form})).json()
    assert (found["active"], found["sub"], found["client_id"]) == (True, str(user.id), browser.client.id)
    await browser.refresh(token)
    assert (await post(http, "introspect", {"token": token, **machine.form})).json() == {"active": False}


@pytest.mark.parametrize("model", [User, Client])
async def test_a_refresh_token_that_would_not_be_honoured_is_not_active(*, http, flow, people, place, machine, model):
    user = await people.user((place, Role.VIEWER))
    browser = flow(await people.application(place))
    token = (await browser.tokens(user))["refresh_token"]
    await people.change(model, user.id if model is User else UUID(browser.client.id), disabled_at=now())
    assert (await post(http, "introspect", {"token": token, **machine.form})).json() == {"active": False}


async def test_a_service_account_without_scopes_may_do_nothing(http, people, machine):
    await people.change(Client, UUID(machine.id), scopes=[])
    answer = await post(http, "token", {**GRANT, **machine.form})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


async def test_a_revoked_token_is_not_active(http, machine):
    token = (await post(http, "token", {**GRANT, **machine.form})).json()["access_token"]
    assert (await post(http, "revoke", {"token": token, **machine.form})).status_code == 200
    for _ in range(50):
        found = (await post(http, "introspect", {"token": token, **machine.form})).json()
        if found == {"active": False}:
            break
    assert found == {"active": False}


async def test_metadata_and_keys_are_where_clients_look(http):
    found = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert found["issuer"] == "http://api.test"
    assert found["token_endpoint"] == "http://api.test/oauth/token"
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    keys = await http.get(found["jwks_uri"])
    assert "max-age" in keys.headers["cache-control"]
    assert all(key.keys() == {"kty", "n", "e", "kid", "use", "alg"} for key in keys.json()["keys"])


@pytest.mark.parametrize("what", ["token", "revoke"])
async def test_too_many_requests_of_one_client_or_address_are_429(flow, people, place, machine, what):
    busy = await people.machine(place)
    form = {**GRANT, "token": "t", "client_id": busy.id, "client_secret": "cs-guess"}
    there = flow(machine, address=f"203.0.113.{len(what)}").http
    [of_client], [of_all] = CLIENT_TOKENS.windows, TOKENS.windows
    assert {(await post(there, what, form)).status_code for _ in range(of_client.limit)} == {401}
    check_slowed(await post(there, what, form))
    mine = {**GRANT, "token": "t", **machine.form}
    assert (await post(there, what, mine)).status_code == 200
    for number in range(of_all.limit - of_client.limit - 2):
        made_up = {"client_id": f"made up {number}", "client_secret": "guess"}
        assert (await post(there, what, {**form, **made_up})).status_code == 401
    check_slowed(await post(there, what, mine))
    elsewhere = flow(machine, address="203.0.113.99").http
    assert (await post(elsewhere, what, mine)).status_code == 200


def check_slowed(answer) -> None:
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["error"] == "temporarily_unavailable"
    assert "wait" in answer.json()["error_description"]
