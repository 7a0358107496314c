"""Those who call, by every kind of credentials there is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI

from domain.permissions import Scope
from tests.api.conftest import BASE_URL, Caller
from tests.api.documented import check_documented


@dataclass(frozen=True)
class Person:
    """Somebody with credentials, or without; `headers` are those."""

    name: str
    headers: Mapping[str, str]
    http: httpx2.AsyncClient


def person(app: FastAPI, name: str, headers: Mapping[str, str]) -> Person:
    """Whoever sends these headers."""
    transport = httpx2.ASGITransport(app=app)
    hooks = {"response": [check_documented]}
    client = httpx2.AsyncClient(
        transport=transport, base_url=f"{BASE_URL}/v1", headers=dict(headers), timeout=30, event_hooks=hooks
    )
    return Person(name, dict(headers), client)


def by_token(app: FastAPI, name: str, token: str) -> Person:
    return person(app, name, {"Authorization": f"Bearer {token}"})


async def by_key(app: FastAPI, maker: Caller, org: str, scopes: Iterable[Scope] = Scope) -> Person:
    """With a key that somebody makes."""
    body = {"name": "walks", "scopes": [str(scope) for scope in scopes]}
    made = await maker.made(f"/organizations/{org}/api-keys", body)
    return person(app, f"a key of {maker.subject}", {"X-API-Key": made["key"]})


async def service_account(app: FastAPI, admin: Caller, org: str) -> Person:
    """With a token that a service account, an admin, fetched for itself."""
    made = await admin.made(f"/organizations/{org}/service-accounts", {"name": "walks", "role": "admin"})
    form = {name: made[name] for name in ("client_id", "client_secret")} | {"grant_type": "client_credentials"}
    async with person(app, "", {}).http as http:
        answer = await http.post(f"{BASE_URL}/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    token: Any = answer.json()["access_token"]
    return by_token(app, "a service account", token)
