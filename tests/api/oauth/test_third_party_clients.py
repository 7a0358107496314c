"""Clients and an identity provider that nobody here wrote, against a server that really listens."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import requests
import uvicorn
from requests_oauth2client import BearerToken, InvalidGrant, OAuth2Client

from api.app import create_app
from domain.permissions import Role
from runtime.settings import Settings
from runtime.trusted_issuers import TrustedIssuer
from tests.api.conftest import RecordedOperations
from tests.api.oauth.conftest import PASSWORD, REDIRECT

LIMIT_S = 120
PROJECT = {"name": "One", "slug": "one", "repository_url": "https://example.com/one"}


@pytest.fixture
async def people_here(people):
    organization = await people.organization()
    return (
        organization,
        await people.user((organization, Role.DEVELOPER)),
        await people.application(organization),
        await people.machine(organization),
    )


@contextmanager
def listening(settings: Settings, port: int) -> Iterator[str]:
    """The API on a real socket, in a thread of its own."""
    config = uvicorn.Config(
        create_app(settings, make_operations=lambda _: RecordedOperations()),
        host="127.0.0.1",
        port=port,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _wait(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)
        assert not thread.is_alive()


@contextmanager
def provider(port: int) -> Iterator[str]:
    """A foreign identity provider with one user."""
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    claims = json.dumps({"sub": "ada", "email": "ada@corp.example", "groups": ["builders", "others"]})
    process = subprocess.Popen(
        [*command, "--user-claims", claims], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(lambda: _answers(base + "/jwks"))
        yield base
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False, timeout=30).status_code == 200
    except httpx2.HTTPError:
        return False


def _person(base: str, address: str, email: str) -> str:
    """What a browser does with an authorization request; where it is sent in the end."""
    with httpx2.Client(base_url=base, trust_env=False, timeout=LIMIT_S) as browser:
        for fields in ({"action": "login", "email": email, "password": PASSWORD}, {"action": "allow"}):
            page = browser.get(address)
            hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
            answer = browser.post(address, data=hidden | fields)
            assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def test_requests_oauth2client_passes_every_flow(settings, people_here, free_port):
    port = free_port()
    here = settings.model_copy(update={"public_url": f"http://127.0.0.1:{port}"})
    await asyncio.to_thread(_flows, here, port, people_here)


def _flows(settings: Settings, port: int, people_here) -> None:
    organization, user, application, machine = people_here
    with listening(settings, port) as base:
        url = f"{base}/.well-known/oauth-authorization-server"
        common = {"url": url, "issuer": base, "testing": True}
        public = OAuth2Client.from_discovery_endpoint(
            **common, client_id=application.id, redirect_uri=REDIRECT, code_challenge_method="S256"
        )
        asked = public.authorization_request(scope="projects:read projects:write")
        back = asked.validate_callback(_person(base, str(asked), user.email))  # state, iss
        tokens = public.authorization_code(back)
        assert isinstance(tokens, BearerToken)
        assert tokens.scope == "projects:read projects:write"
        url = f"{base}/v1/organizations/{organization}/projects"
        assert requests.get(url, auth=tokens, timeout=LIMIT_S).status_code == 200
        fresh = public.refresh_token(tokens)
        assert fresh.refresh_token != tokens.refresh_token

        service = OAuth2Client.from_discovery_endpoint(**common, client_id=machine.id, client_secret=machine.secret)
        own = service.client_credentials(scope="projects:read")
        assert requests.get(url, auth=own, timeout=LIMIT_S).status_code == 200
        assert service.introspect_token(own)["active"] is True
        assert service.introspect_token(fresh)["sub"] == str(user.id)
        assert service.revoke_access_token(own) is True
        _wait(lambda: requests.get(url, auth=own, timeout=LIMIT_S).status_code == 401)
        assert service.introspect_token(own) == {"active": False}
        assert public.revoke_refresh_token(fresh) is True
        with pytest.raises(InvalidGrant):
            public.refresh_token(fresh)
        _wait(lambda: requests.get(url, auth=fresh, timeout=LIMIT_S).status_code == 401)


async def test_people_of_a_foreign_identity_provider_get_in(settings, people, free_port):
    organization = await people.organization()
    await asyncio.to_thread(_federated, settings, free_port, str(organization))


def _federated(settings: Settings, free_port: Callable[[], int], organization: str) -> None:
    with provider(free_port()) as issuer:
        trusted = TrustedIssuer(
            name="corp",
            issuer=issuer,
            audience="delivery",
            jwks_url=f"{issuer}/jwks",
            types=("JWT",),
            organization=organization,
            role="viewer",
        )
        token, elsewhere = (_id_token(issuer, client) for client in ("delivery", "another-application"))
        with listening(settings.model_copy(update={"trusted_issuers": (trusted,)}), free_port()) as base:
            url = f"{base}/v1/organizations/{organization}/projects"

            def ask(given: str, method: str = "GET") -> int:
                headers = {"Authorization": f"Bearer {given}"}
                body = None if method == "GET" else PROJECT
                return requests.request(method, url, headers=headers, json=body, timeout=LIMIT_S).status_code

            _wait(lambda: ask(token) == 200)  # the first look at the issuer's keys is in the background
            assert ask(token, "POST") == 403  # a viewer
            assert ask(elsewhere) == 401  # not issued for us
            assert ask(token[:-8] + "AAAAAAAA") == 401


def _id_token(issuer: str, client: str) -> str:
    query = f"response_type=code&client_id={client}&redirect_uri=http://localhost/cb&scope=openid+email"
    sent = requests.post(
        f"{issuer}/oauth2/authorize?{query}", data={"sub": "ada"}, allow_redirects=False, timeout=LIMIT_S
    )
    code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://localhost/cb"}
    answer = requests.post(f"{issuer}/oauth2/token", data=form, auth=(client, "x"), timeout=LIMIT_S)
    return str(answer.json()["id_token"])
