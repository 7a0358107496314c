"""People, places and clients for the OAuth server, and a browser that fills in its pages."""

import asyncio
import base64
import hashlib
import html
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import httpx2
import jwt
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from domain.permissions import Role, permissions_of
from runtime.credentials import CLIENT_SECRET, digest, new_secret
from runtime.ids import new_id
from runtime.passwords import Passwords
from storage.engine import Sessions, transaction
from storage.models import Client, Membership, User
from tests.api.conftest import BASE_URL, Caller

PASSWORD = "correct horse battery"
# What argon2 costs is tested in tests/runtime/test_passwords.py; here people log in hundreds of times.
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
REDIRECT = "https://app.example.com/cb"


@dataclass(frozen=True)
class Known:
    """A registered client and its secret; None: it is public."""

    id: str
    secret: str | None

    @property
    def form(self) -> dict[str, str]:
        return {"client_id": self.id} | ({"client_secret": self.secret} if self.secret else {})


class People:
    """Writes what the identity routes write."""

    def __init__(self, rows: Sessions, platform: Caller) -> None:
        self.rows = rows
        self.platform = platform
        self.hashed = ""

    async def organization(self) -> UUID:
        slug = f"o-{secrets.token_hex(4)}"
        made = await self.platform.made("/organizations", {"name": slug, "slug": slug, "plan": "enterprise"})
        return UUID(made["id"])

    async def user(self, *places: tuple[UUID, Role], admin: bool = False) -> User:
        self.hashed = self.hashed or await QUICK.hash(PASSWORD)
        email = f"{secrets.token_hex(6)}@example.com"
        user = User(id=new_id(), email=email, name="Ada", password_hash=self.hashed, is_platform_admin=admin)
        async with transaction(self.rows) as session:
            session.add(user)
            await session.flush()
            for organization_id, role in places:
                session.add(Membership(id=new_id(), organization_id=organization_id, user_id=user.id, role=role))
        return user

    async def application(
        self,
        organization_id: UUID | None,
        *,
        public: bool = True,
        scopes: tuple[str, ...] = (),
        uris: tuple[str, ...] = (REDIRECT,),
    ) -> Known:
        return await self._client("application", organization_id, public=public, scopes=scopes, uris=list(uris))

    async def machine(
        self, organization_id: UUID, role: Role = Role.DEVELOPER, *, scopes: tuple[str, ...] = ()
    ) -> Known:
        scopes = scopes or tuple(sorted(permissions_of(role)))
        return await self._client("service_account", organization_id, role=role, scopes=scopes)

    async def change(self, model: Any, row_id: UUID, **values: Any) -> None:
        async with transaction(self.rows) as session:
            row = await session.get_one(model, row_id)
            for name, value in values.items():
                setattr(row, name, value)

    async def _client(
        self,
        kind: str,
        organization_id: UUID | None,
        *,
        public: bool = False,
        scopes: tuple[str, ...] = (),
        uris: list[str] | None = None,
        role: Role | None = None,
    ) -> Known:
        secret = None if public else new_secret(CLIENT_SECRET)
        row = Client(
            id=new_id(),
            organization_id=organization_id,
            kind=kind,
            name="Build <Board>",
            secret_hash=secret and digest(secret),
            role=role,
            scopes=list(scopes),
            redirect_uris=uris or [],
            created_by="tests",
        )
        async with transaction(self.rows) as session:
            session.add(row)
        return Known(str(row.id), secret)


@pytest.fixture(scope="module", autouse=True)
def quick_passwords(app: FastAPI) -> None:
    parts = app.state.parts
    app.state.parts = replace(parts, oauth=replace(parts.oauth, passwords=QUICK))


@pytest.fixture(scope="module")
def people(rows: Sessions, platform: Caller) -> People:
    return People(rows, platform)


@dataclass
class Flow:
    """A browser with cookies, and the application that sent it."""

    http: httpx2.AsyncClient
    client: Known
    redirect: str = REDIRECT
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def address(self, **changes: str | None) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        values: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.redirect,
            "state": "xyz & 1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        return "/oauth/authorize?" + urlencode({name: value for name, value in values.items() if value is not None})

    async def submit(self, address: str, action: str, **fields: str) -> httpx2.Response:
        """Fill in the page that is shown at an address, as a browser does."""
        shown = await self.http.get(address)
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown.text))
        form |= fields | {"action": action}
        return await self.http.post(address, content=urlencode(form), headers=FORM)

    async def login(self, user: User, password: str = PASSWORD, **changes: str | None) -> httpx2.Response:
        return await self.submit(self.address(**changes), "login", email=user.email, password=password)

    async def code(self, user: User, place: UUID | None = None, **changes: str | None) -> str:
        """Log in and allow; the code that the application gets."""
        assert (await self.login(user, **changes)).status_code == 303
        fields = {"place": str(place)} if place else {}
        allowed = await self.submit(self.address(**changes), "allow", **fields)
        assert allowed.status_code == 303, allowed.text
        return returned(allowed)["code"]

    async def exchange(self, code: str, /, **changes: str) -> httpx2.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": self.verifier,
            **self.client.form,
            **changes,
        }
        return await post(self.http, "token", form)

    async def tokens(self, user: User, place: UUID | None = None, **changes: str | None) -> dict[str, Any]:
        answer = await self.exchange(await self.code(user, place, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refresh(self, token: str, /, **changes: str) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, **self.client.form, **changes}
        return await post(self.http, "token", form)


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def post(http: httpx2.AsyncClient, what: str, form: dict[str, str], **options: Any) -> httpx2.Response:
    headers = {**FORM, **options.pop("headers", {})}
    return await http.post(f"/oauth/{what}", content=urlencode(form), headers=headers, **options)


async def eventually(condition: Callable[[], Awaitable[bool]], limit_s: float = 120) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110 - what it waits for is in another process
            await asyncio.sleep(0.02)


def returned(answer: httpx2.Response) -> dict[str, str]:
    """The parameters that an application is sent back with."""
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def claims_of(token: str) -> dict[str, Any]:
    """What an access token says, unchecked."""
    return jwt.decode(token, options={"verify_signature": False})


def text_of(page: httpx2.Response) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.text))


@pytest.fixture
async def flow(app: FastAPI) -> AsyncIterator[Any]:
    """Makes flows: each a browser of its own, at an address of its own."""
    opened: list[httpx2.AsyncClient] = []

    def make(client: Known, *, address: str = "", redirect: str = REDIRECT) -> Flow:
        source = address or f"198.51.100.{secrets.randbelow(250)}"
        transport = httpx2.ASGITransport(app=app, client=(source, 50000))
        opened.append(httpx2.AsyncClient(transport=transport, base_url=BASE_URL, timeout=30))
        return Flow(opened[-1], client, redirect)

    yield make
    for http in opened:
        await http.aclose()


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL, timeout=30) as client:
        yield client


@pytest.fixture
def refused_soon(use):
    """A token is refused within the second that revocations have to reach every process."""

    async def refused_soon(token: str) -> None:
        async def refused() -> bool:
            return await use(token) == 401

        await eventually(refused, 1)

    return refused_soon


@pytest.fixture
def use(http: httpx2.AsyncClient):
    """The status that the API answers a token with."""

    async def use(token: str) -> int:
        return (await http.get("/v1/organizations", headers={"Authorization": f"Bearer {token}"})).status_code

    return use
