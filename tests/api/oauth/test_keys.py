"""Signing keys: published before they sign, kept after; one command for all processes. And the shared secret."""

import asyncio
from datetime import timedelta

import httpx2
import jwt
import pytest
from pydantic import ValidationError
from sqlalchemy import delete, select, update

from api.app import create_app
from api.cli import signing_keys as keys
from api.oauth.keystore import KEPT_FOR, PUBLISHED_FOR, KeyStore
from domain.errors import DependencyError
from domain.permissions import Role
from runtime.encryption import load_sealer
from runtime.keys import load_private_key
from runtime.settings import Settings
from runtime.tokens import Subject, issue_token
from storage.engine import transaction
from storage.models import SigningKey
from tests.api.conftest import BASE_URL, RecordedOperations
from tests.api.oauth.conftest import eventually, post

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
async def machine(people):
    return await people.machine(await people.organization())


@pytest.fixture
def store(rows, settings) -> KeyStore:
    return KeyStore(rows, load_sealer(settings))


@pytest.fixture(scope="module")
async def second(settings):
    """Another process of the same API, as far as one can tell from outside."""
    app = create_app(settings, make_operations=lambda _: RecordedOperations())
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client,
    ):
        yield client


async def token_of(http, machine) -> str:
    return (await post(http, "token", {**GRANT, **machine.form})).json()["access_token"]


async def published(http) -> set[str]:
    return {key["kid"] for key in (await http.get("/.well-known/jwks.json")).json()["keys"]}


async def status(http, token: str) -> int:
    return (await http.get("/v1/organizations", headers={"Authorization": f"Bearer {token}"})).status_code


async def age(rows, **stamps: timedelta) -> None:
    """Let time pass for all keys."""
    values = {name: getattr(SigningKey, name) - by for name, by in stamps.items()}
    async with transaction(rows) as session:
        await session.execute(update(SigningKey).values(**values))


async def test_the_life_of_a_key(*, http, second, machine, store, rows, settings):
    kid_of = lambda token: jwt.get_unverified_header(token)["kid"]  # noqa: E731 - read three times below
    old = await token_of(http, machine)
    first = await store.rotate()
    assert first.wait > timedelta(minutes=4)
    for client in (http, second):  # published in every process, and not used yet
        await eventually(lambda client=client: _holds(client, first.upcoming))
    assert kid_of(await token_of(http, machine)) == kid_of(old) == first.active
    assert (await store.rotate()).upcoming == first.upcoming  # too early: nothing changes
    await age(rows, created_at=PUBLISHED_FOR)
    done = await store.rotate()
    assert done.active == first.upcoming
    for client in (http, second):
        await eventually(lambda client=client: _signs_with(client, machine, done.active))
    fresh = await token_of(http, machine)
    for client in (http, second):
        assert await status(client, old) == 200  # signed with the retired key
        assert await status(client, fresh) == 200
    states = {key.kid: key.state for key in await store.all()}
    assert states == {first.active: "retired", done.active: "active", done.upcoming: "next"}


async def _holds(client, kid: str) -> bool:
    return kid in await published(client)


async def _signs_with(client, machine, kid: str) -> bool:
    return jwt.get_unverified_header(await token_of(client, machine))["kid"] == kid


async def test_a_retired_key_goes_when_its_last_token_has_expired_or_at_once(http, machine, store, rows):
    stolen = (await store.rotate(at_once=True)).active
    await eventually(lambda: _signs_with(http, machine, stolen))
    token = await token_of(http, machine)
    after = (await store.rotate(at_once=True)).active
    await eventually(lambda: _signs_with(http, machine, after))
    assert await status(http, token) == 200
    await store.drop(stolen)
    await eventually(lambda: _refuses(http, token))
    retired = (await store.rotate(at_once=True)).upcoming
    async with transaction(rows) as session:
        gone = update(SigningKey).where(SigningKey.state == "retired")
        await session.execute(gone.values(retired_at=SigningKey.retired_at - KEPT_FOR))
    left = {key.kid for key in await store.load(None)}
    assert {key.state for key in await store.load(None)} == {"active", "next"}
    assert retired in left


async def _refuses(http, token: str) -> bool:
    return await status(http, token) == 401


async def test_private_keys_are_sealed(rows, settings):
    async with transaction(rows) as session:
        stored = list(await session.scalars(select(SigningKey)))
    assert stored
    assert all(b"PRIVATE" not in key.private_key for key in stored)


async def test_of_several_processes_at_first_start_one_makes_the_key(rows, settings):
    async with transaction(rows) as session:
        await session.execute(delete(SigningKey))
    stores = [KeyStore(rows, load_sealer(settings)) for _ in range(4)]
    first = load_private_key(settings)
    loaded = await asyncio.gather(*(store.load(first) for store in stores))
    assert len({keys[0].kid for keys in loaded}) == 1


def test_the_command_lists_and_rotates(settings, store, monkeypatch, capsys):
    monkeypatch.setenv("DELIVERY_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("DELIVERY_DATA_DIR", str(settings.data_dir))
    assert keys.main(["rotate"]) == 0
    assert "rotate again in" in capsys.readouterr().out
    assert keys.main(["rotate", "--now"]) == 0
    assert "signs now" in capsys.readouterr().out
    assert keys.main(["list"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["retired", "active", "next"]
    assert keys.main(["drop", "unknown"]) == 1
    assert "no retired key" in capsys.readouterr().err


async def test_a_revocation_reaches_every_process(http, second, machine):
    token = await token_of(http, machine)
    assert (await status(http, token), await status(second, token)) == (200, 200)
    await post(http, "revoke", {"token": token, **machine.form})
    await eventually(lambda: _refuses(second, token))


async def test_with_a_shared_secret_only_hs256_is_signed_and_accepted(settings, tmp_path, people):
    secret = "0123456789abcdef0123456789abcdef"
    shared = settings.model_copy(update={"jwt_hs256_secret": type(settings.jwt_hs256_secret)(secret)})
    app = create_app(shared, make_operations=lambda _: RecordedOperations())
    machine = await people.machine(await people.organization())
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client,
    ):
        token = await token_of(client, machine)
        assert jwt.get_unverified_header(token)["alg"] == "HS256"
        jwt.decode(token, secret, algorithms=["HS256"], audience="delivery-engine")
        assert await status(client, token) == 200
        subject = Subject("ada", Role.PLATFORM_ADMIN, ["organizations:read"])
        assert await status(client, issue_token(shared, subject)) == 200
        assert await status(client, issue_token(settings, subject)) == 401
        assert (await client.get("/.well-known/jwks.json")).json() == {"keys": []}


def test_a_shared_secret_is_long_and_not_for_production(tmp_path):
    with pytest.raises(ValidationError, match="at least 32 bytes"):
        Settings(data_dir=tmp_path, jwt_hs256_secret="short")
    with pytest.raises(ValidationError, match="embedded mode"):
        Settings(data_dir=tmp_path, mode="production", jwt_hs256_secret="x" * 32)


async def test_without_a_database_there_are_no_keys_in_production(tmp_path, settings):
    away = settings.model_copy(
        update={
            "mode": "production",
            "data_dir": tmp_path,
            "database_url": type(settings.database_url)("postgresql+psycopg://x@127.0.0.1:9/x"),
            "encryption_keys": type(settings.encryption_keys)("A" * 43 + "="),
        }
    )
    app = create_app(away, make_operations=lambda _: RecordedOperations())
    async with app.router.lifespan_context(app):
        with pytest.raises(DependencyError, match="have not been read"):
            app.state.parts.verifier.verify(issue_token(settings, Subject("u", Role.VIEWER, [], organization="o")))
