"""API keys: made, shown, rotated, revoked, in one process and in another."""

import asyncio
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import event, update
from sqlalchemy.engine import Engine

from api.app import create_app
from api.auth import api_key_cache as keys_module
from api.http.errors import UnauthenticatedError
from domain.api_keys import build_key, hash_key
from domain.errors import DependencyError
from domain.permissions import Role, Scope
from runtime.ids import new_id, now
from runtime.tokens import Subject
from storage.engine import transaction
from storage.models import ApiKey, Client, Membership, User
from tests.api.conftest import BASE_URL, token_for
from tests.support.facts import facts
from tests.support.waiting import until

UNKNOWN = build_key("0" * 32)
READ = ["projects:read", "organizations:read"]


def client_of(app, **headers) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url=BASE_URL + "/v1", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def path(world) -> str:
    return f"/organizations/{world.org['id']}/api-keys"


@pytest.fixture(scope="module")
def admin(caller, world):
    return caller(Role.ADMIN, world.org["id"])


@pytest.fixture
async def issued(admin, path):
    return await admin.made(path, {"name": "ci", "scopes": READ})


@pytest.fixture
async def shown(app):
    """Asks with a key: gives the status."""
    async with client_of(app) as client:

        async def ask(key: str, where: str = "/organizations") -> int:
            return (await client.get(where, headers={"X-API-Key": key})).status_code

        yield ask


@pytest.fixture(scope="module")
async def second(settings, recorder):
    """Another API process, as far as keys go: parts of its own on the same database."""
    app = create_app(settings, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        yield app


async def person(rows, role: Role, org: str) -> UUID:
    """A user with a seat in an organization."""
    async with transaction(rows) as session:
        user = User(id=new_id(), email=f"{new_id()}@example.com")
        session.add(user)
        await session.flush()
        session.add(Membership(id=new_id(), organization_id=UUID(org), user_id=user.id, role=role))
        return user.id


def signed_in(app, settings, subject: str, role: Role, org: str | None) -> httpx2.AsyncClient:
    token = token_for(settings, Subject(subject, role, [str(scope) for scope in Scope], organization=org or ""))
    return client_of(app, Authorization=f"Bearer {token}")


async def made_by(client, path: str, **changes) -> dict:
    response = await client.post(path, json={"name": "theirs", "scopes": READ, **changes})
    assert response.status_code == 201, response.text
    return response.json()["data"]


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(issued, admin, path, rows):
    assert issued["key"].startswith(issued["prefix"])
    assert len(issued["prefix"]) == len("sk-live_abcd")
    assert issued["status"] == "active"
    again = (await admin.get(f"{path}/{issued['id']}")).json()["data"]
    assert "key" not in again
    assert again == {name: value for name, value in issued.items() if name != "key"}
    assert issued["key"] not in (await admin.get(path)).text
    async with transaction(rows) as session:
        row = await session.get_one(ApiKey, UUID(issued["id"]))
        assert row.key_hash == hash_key(issued["key"])
    assert issued["key"] not in str(vars(row))


async def test_a_key_gets_in_within_its_scopes(issued, shown, app, world):
    assert await shown(issued["key"]) == 200
    assert await shown(issued["key"], f"/organizations/{world.org['id']}/projects") == 200
    assert await shown(issued["key"], "/operations") == 403
    async with client_of(app, **{"X-API-Key": issued["key"]}) as client:
        body = {"name": "n", "slug": "n", "repository_url": "https://example.com/n"}
        assert (await client.post(f"/organizations/{world.org['id']}/projects", json=body)).status_code == 403


async def test_a_key_sees_nothing_of_another_organization(issued, shown, other_world):
    assert await shown(issued["key"], f"/organizations/{other_world.org['id']}") == 403
    assert await shown(issued["key"], f"/projects/{other_world.project['id']}") == 404


async def test_bad_keys_are_401(app, issued):
    bad = {"unknown": UNKNOWN, "cut off": issued["key"][:-1], "mistyped": issued["key"][:-1] + "!", "empty": ""}
    async with client_of(app) as client:
        for name, key in bad.items():
            response = await client.get("/organizations", headers={"X-API-Key": key})
            assert (response.status_code, response.json()["error"]["code"]) == (401, "AUTHENTICATION_FAILED"), name
            assert issued["key"][:-1] not in response.text
        twice = await client.get("/organizations", headers=[("X-API-Key", issued["key"]), ("X-API-Key", UNKNOWN)])
        assert twice.status_code == 401


async def test_a_token_and_a_key_are_of_one_principal_or_refused(app, admin, issued, world):
    async with client_of(app, **{"X-API-Key": issued["key"]}) as client:
        own = await client.get("/organizations", headers={"Authorization": f"Bearer {admin.token}"})
        assert own.status_code == 200
        both = {"Authorization": f"Bearer {admin.token}"}
        assert (await client.get("/operations", headers=both)).status_code == 403, "both have to allow it"
        others = await client.get("/organizations", headers={"Authorization": f"Bearer {world.developer.token}"})
        assert others.status_code == 401
        assert "different principals" in others.json()["error"]["message"]
        broken = await client.get("/organizations", headers={"Authorization": "Bearer broken"})
        assert broken.status_code == 401


async def test_nobody_makes_a_key_that_could_do_more_than_they(*, app, caller, admin, path, world):
    for less in (caller(Role.DEVELOPER, world.org["id"]), caller(Role.RELEASE_MANAGER, world.org["id"])):
        assert (await less.post(path, {"name": "x", "scopes": READ})).status_code == 403
    cut = caller(Role.ADMIN, world.org["id"], cut={"deployments:approve"})
    refused = await cut.post(path, {"name": "x", "scopes": ["deployments:approve", "projects:read"]})
    assert refused.status_code == 403
    assert facts(refused.json()["error"]) == {"missing_permission": ["deployments:approve"]}
    maker = await admin.made(path, {"name": "maker", "scopes": ["api_keys:write", "api_keys:read", *READ]})
    async with client_of(app, **{"X-API-Key": maker["key"]}) as client:
        child = await client.post(path, json={"name": "child", "scopes": READ})
        assert child.json()["data"]["created_by"] == admin.subject
        assert (await client.post(path, json={"name": "x", "scopes": ["tests:read"]})).status_code == 403
        wide = await admin.made(path, {"name": "wide", "scopes": ["tests:read"]})
        assert (await client.post(f"{path}/{wide['id']}/rotate", json={})).status_code == 403


async def test_a_platform_admins_key_stays_inside_the_organization(platform, path, shown, world, other_world):
    key = await platform.made(path, {"name": "p", "scopes": ["organizations:read", "projects:read"]})
    assert await shown(key["key"], f"/organizations/{world.org['id']}") == 200
    assert await shown(key["key"], f"/organizations/{other_world.org['id']}") == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"scopes": READ}, 400),
        ({"name": " ", "scopes": READ}, 400),
        ({"name": "x", "scopes": []}, 400),
        ({"name": "x", "scopes": ["made:up"]}, 400),
        ({"name": "x", "scopes": ["tests:read", "tests:read"]}, 400),
        ({"name": "x", "scopes": READ, "expires_at": "2030-01-01T00:00:00"}, 400),
        ({"name": "x", "scopes": READ, "expires_at": "2020-01-01T00:00:00Z"}, 422),
        ({"name": "x", "scopes": READ, "expires_at": "2999-01-01T00:00:00Z"}, 422),
        ({"name": "x", "scopes": READ, "requests_per_minute": 0}, 400),
        ({"name": "x", "scopes": READ, "role": "admin"}, 400),
    ],
)
async def test_what_makes_no_key_is_refused(admin, path, body, status):
    assert (await admin.post(path, body)).status_code == status


async def test_a_key_expires(admin, path, shown, rows):
    soon = (now() + timedelta(days=1)).isoformat()
    made = await admin.made(path, {"name": "short", "scopes": READ, "expires_at": soon})
    assert await shown(made["key"]) == 200
    await change(rows, made["id"], expires_at=now() - timedelta(seconds=1))
    await eventually(shown, made["key"], 401)
    assert (await admin.get(f"{path}/{made['id']}")).json()["data"]["status"] == "expired"


async def change(rows, key_id: str, **values) -> None:
    """Behind the API's back, so that nobody is notified: the poll has to find it."""
    async with transaction(rows) as session:
        await session.execute(update(ApiKey).where(ApiKey.id == UUID(key_id)).values(**values))


async def eventually(ask, key: str, status: int) -> None:
    """Wait until a key is answered so."""
    async with asyncio.timeout(120):
        while await ask(key) != status:  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(0.01)


async def test_a_revoked_key_ends_here_and_in_other_processes(issued, admin, path, shown, second):
    async with client_of(second) as client:

        async def elsewhere(key: str) -> int:
            return (await client.get("/organizations", headers={"X-API-Key": key})).status_code

        assert (await shown(issued["key"]), await elsewhere(issued["key"])) == (200, 200)
        assert (await admin.http.delete(f"{path}/{issued['id']}")).status_code == 204
        await eventually(elsewhere, issued["key"], 401)
        await eventually(shown, issued["key"], 401)
    kept = (await admin.get(f"{path}/{issued['id']}")).json()["data"]
    assert kept["status"] == "revoked"
    assert kept["revoked_at"]
    assert (await admin.http.delete(f"{path}/{issued['id']}")).status_code == 204, "twice does no harm"


async def test_a_lost_notification_costs_no_more_than_the_poll(issued, shown, rows):
    assert await shown(issued["key"]) == 200
    await change(rows, issued["id"], revoked_at=now())
    await eventually(shown, issued["key"], 401)
    assert keys_module.POLL_S < 1


async def test_a_rotated_key_works_on_until_its_overlap_ends(issued, admin, path, shown, rows):
    response = await admin.post(f"{path}/{issued['id']}/rotate", {"overlap_seconds": 3600})
    fresh = response.json()["data"]
    assert response.status_code == 201
    assert response.headers["location"].endswith(fresh["id"])
    assert (fresh["replaces"], fresh["name"], sorted(fresh["scopes"])) == (issued["id"], "ci", sorted(READ))
    assert (await shown(issued["key"]), await shown(fresh["key"])) == (200, 200)
    assert (await admin.post(f"{path}/{issued['id']}/rotate", {})).json()["error"]["code"] == "INVALID_STATE"
    await change(rows, issued["id"], overlap_ends_at=now() - timedelta(seconds=1))
    await eventually(shown, issued["key"], 401)
    assert await shown(fresh["key"]) == 200
    assert (await admin.get(f"{path}/{issued['id']}")).json()["data"]["status"] == "replaced"


async def test_without_overlap_the_old_key_ends_with_the_answer(issued, admin, path, shown):
    assert await shown(issued["key"]) == 200
    fresh = await admin.made(f"{path}/{issued['id']}/rotate", {"overlap_seconds": 0})
    await eventually(shown, issued["key"], 401)
    assert await shown(fresh["key"]) == 200
    too_long = {"overlap_seconds": 7 * 86_400 + 1}
    assert (await admin.post(f"{path}/{fresh['id']}/rotate", too_long)).status_code == 400


async def test_who_rotates_a_key_gets_one_that_acts_for_them(issued, caller, path, world):
    other = caller(Role.ADMIN, world.org["id"])
    fresh = await other.made(f"{path}/{issued['id']}/rotate", None)
    assert (issued["created_by"] != other.subject, fresh["created_by"]) == (True, other.subject)


async def test_a_key_is_renamed_against_its_etag(issued, admin, path):
    where = f"{path}/{issued['id']}"
    etag = (await admin.get(where)).headers["etag"]
    renamed = await admin.patch(where, {"name": "nightly", "requests_per_minute": 5}, headers={"If-Match": etag})
    assert (renamed.json()["data"]["name"], renamed.json()["data"]["requests_per_minute"]) == ("nightly", 5)
    assert (await admin.patch(where, {"name": "x"}, headers={"If-Match": etag})).status_code == 412
    assert (await admin.patch(where, {"scopes": ["tests:read"]})).status_code == 400


async def test_keys_are_listed_by_status_and_only_their_organizations(platform, path, admin, other_world, issued):
    await admin.http.delete(f"{path}/{issued['id']}")
    found = {status: (await admin.get(f"{path}?status={status}&page_size=100")).json()["data"] for status in STATUSES}
    for status, keys in found.items():
        assert {key["status"] for key in keys} <= {status}
    assert issued["id"] in {key["id"] for key in found["revoked"]}
    everything = (await admin.get(f"{path}?page_size=100")).json()["pagination"]["total"]
    assert everything == sum(len(keys) for keys in found.values())
    theirs = f"/organizations/{other_world.org['id']}/api-keys"
    assert (await platform.get(f"{theirs}/{issued['id']}")).status_code == 404
    assert (await platform.http.delete(f"{theirs}/{issued['id']}")).status_code == 404
    assert (await platform.get(f"/organizations/{new_id()}/api-keys")).status_code == 404


STATUSES = ("active", "expired", "replaced", "revoked")


async def test_the_same_idempotency_key_makes_one_key(admin, path):
    headers = {"Idempotency-Key": f"k-{new_id()}"}
    first, second = [await admin.post(path, {"name": "once", "scopes": READ}, headers=headers) for _ in range(2)]
    assert first.json()["data"] == second.json()["data"]
    assert second.headers["idempotent-replayed"] == "true"


async def test_a_key_ends_with_its_creators_seat_and_follows_their_role(*, app, settings, rows, world, path, shown):
    user = await person(rows, Role.ADMIN, world.org["id"])
    async with signed_in(app, settings, str(user), Role.ADMIN, world.org["id"]) as client:
        made = await made_by(client, path, scopes=["projects:read", "projects:write"])
    projects = f"/organizations/{world.org['id']}/projects"
    assert await shown(made["key"], projects) == 200
    body = {"name": "k", "slug": "by-key", "repository_url": "https://example.com/k"}
    async with transaction(rows) as session:
        await session.execute(update(Membership).where(Membership.user_id == user).values(role=Role.VIEWER))

    async def writing(key: str) -> int:
        async with client_of(app, **{"X-API-Key": key}) as client:
            return (await client.post(projects, json=body)).status_code

    await eventually(writing, made["key"], 403)
    assert await shown(made["key"], projects) == 200
    async with transaction(rows) as session:
        await session.execute(Membership.__table__.delete().where(Membership.user_id == user))
    await eventually(shown, made["key"], 401)


@pytest.mark.parametrize("model", [User, Client])
async def test_a_key_ends_when_its_creator_is_disabled(*, app, settings, rows, world, path, shown, model):
    org = world.org["id"]
    if model is User:
        creator = await person(rows, Role.ADMIN, org)
    else:
        creator = new_id()
        async with transaction(rows) as session:
            account = Client(id=creator, organization_id=UUID(org), kind="service_account", name="ci", created_by="x")
            account.role, account.scopes = Role.ADMIN, READ
            session.add(account)
    async with signed_in(app, settings, str(creator), Role.ADMIN, org) as client:
        made = await made_by(client, path)
    assert await shown(made["key"]) == 200
    async with transaction(rows) as session:
        await session.execute(update(model).where(model.id == creator).values(disabled_at=now()))
    await eventually(shown, made["key"], 401)


async def test_a_key_of_a_platform_admin_ends_when_they_are_none_any_more(app, settings, rows, path, shown):
    admin = new_id()
    async with transaction(rows) as session:
        session.add(User(id=admin, email=f"{admin}@example.com", is_platform_admin=True))
    async with signed_in(app, settings, str(admin), Role.PLATFORM_ADMIN, None) as client:
        made = await made_by(client, path, scopes=[*READ, "api_keys:write"])
    async with client_of(app, **{"X-API-Key": made["key"]}) as client:
        further = await made_by(client, path)
    assert await shown(made["key"]) == await shown(further["key"]) == 200
    async with transaction(rows) as session:
        await session.execute(update(User).where(User.id == admin).values(is_platform_admin=False))
    for key in (made["key"], further["key"]):
        await eventually(shown, key, 401)


async def test_who_was_a_member_a_moment_ago_makes_no_key(app, settings, rows, world, path):
    gone = await person(rows, Role.ADMIN, world.org["id"])
    async with transaction(rows) as session:
        await session.execute(Membership.__table__.delete().where(Membership.user_id == gone))
    async with signed_in(app, settings, str(gone), Role.ADMIN, world.org["id"]) as client:
        answer = await client.post(path, json={"name": "k", "scopes": READ})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AUTHORIZATION_DENIED")


async def test_a_service_account_that_may_do_less_has_keys_that_may(*, app, settings, rows, world, path, shown):
    org, account = world.org["id"], new_id()
    scopes = ["projects:read", "organizations:read"]
    async with transaction(rows) as session:
        row = Client(id=account, organization_id=UUID(org), kind="service_account", name="ci", created_by="x")
        row.role, row.scopes = Role.ADMIN, scopes
        session.add(row)
    async with signed_in(app, settings, str(account), Role.ADMIN, org) as client:
        made = await made_by(client, path)
    assert await shown(made["key"], f"/organizations/{org}/projects") == 200
    async with transaction(rows) as session:
        await session.execute(update(Client).where(Client.id == account).values(scopes=["organizations:read"]))

    async def projects(key: str) -> int:
        return await shown(key, f"/organizations/{org}/projects")

    await eventually(projects, made["key"], 403)
    assert await shown(made["key"]) == 200


async def test_four_eyes_count_persons_not_their_keys(app, admin, issued):
    principal = await app.state.parts.keys.principal(issued["key"])
    assert (principal.subject, principal.credential) == (admin.subject, f"key:{issued['id']}")


async def test_uses_are_written_beside_the_requests(issued, admin, path, shown, app):
    where = f"{path}/{issued['id']}"
    before = (await admin.get(where)).json()["data"]
    with counted_statements() as statements:
        for _ in range(5):
            await shown(issued["key"])
    assert not [one for one in statements if one.startswith("UPDATE")]
    assert (await admin.get(where)).json()["data"]["last_used_at"] is None
    await app.state.parts.key_uses.reconcile()
    after = (await admin.get(where)).json()["data"]
    assert after["last_used_at"]
    assert after["last_used_address"] == "127.0.0.1"
    assert after["updated_at"] == before["updated_at"], "a use is no change"
    await app.state.parts.key_uses.reconcile()
    assert (await admin.get(where)).json()["data"]["last_used_at"] == after["last_used_at"]


class counted_statements:  # noqa: N801 - read as a phrase
    """The statements of all engines while it lasts."""

    def __enter__(self) -> list[str]:
        self.seen: list[str] = []
        event.listen(Engine, "before_cursor_execute", self._note)
        return self.seen

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._note)

    def _note(self, connection, cursor, statement, *_: object) -> None:
        self.seen.append(statement)


async def test_an_unknown_key_costs_one_look_up_and_a_malformed_one_none(shown):
    with counted_statements() as statements:
        for _ in range(3):
            assert await shown(build_key("z" * 32)) == 401
            assert await shown("sk-live_" + "z" * 38) == 401
    assert len([one for one in statements if "key_hash IN" in one]) == 1


async def test_a_crowd_with_one_new_key_costs_a_look_up_or_two(issued, shown, app):
    app.state.parts.keys.forget()
    with counted_statements() as statements:
        assert set(await asyncio.gather(*(shown(issued["key"]) for _ in range(50)))) == {200}
    assert len([one for one in statements if "key_hash IN" in one]) <= 3


async def test_made_up_keys_do_not_fill_the_memory(app, monkeypatch):
    monkeypatch.setattr(keys_module, "MOST_UNKNOWN", 5)
    ring = keys_module.ApiKeyCache(app.state.parts.sessions)
    for number in range(10):
        with pytest.raises(UnauthenticatedError):
            await ring.principal(build_key(f"{number:032}"))
    assert len(ring._unknown) == 5


async def test_without_the_database_known_keys_work_for_a_while_and_unknown_ones_are_503(
    issued, settings, recorder, monkeypatch
):
    app = create_app(settings, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app), client_of(app) as client:
        ring = app.state.parts.keys
        await ring.principal(issued["key"])

        async def away(_: object) -> object:
            raise DependencyError("the database does not answer")

        monkeypatch.setattr(ring, "_load", away)
        monkeypatch.setattr(ring._looked_up, "_load", away)
        with pytest.raises(DependencyError):
            await ring.refresh()
        assert (await ring.principal(issued["key"])).credential == f"key:{issued['id']}"
        unknown = await client.get("/organizations", headers={"X-API-Key": UNKNOWN})
        assert unknown.status_code == 503
        assert int(unknown.headers["retry-after"]) > 0
        monkeypatch.setattr(keys_module, "TRUSTED_S", 0.0)
        assert (await client.get("/organizations", headers={"X-API-Key": issued["key"]})).status_code == 503


async def test_keys_nobody_uses_are_not_watched(issued, app, monkeypatch):
    ring = keys_module.ApiKeyCache(app.state.parts.sessions)
    await ring.principal(issued["key"])
    await ring.refresh()
    assert len(ring._known) == 1
    monkeypatch.setattr(keys_module, "IDLE_S", 0.0)
    await ring.refresh()
    assert not ring._known


async def test_a_known_key_is_looked_up_once_however_often_it_comes(issued, app, monkeypatch):
    """That is what costs; what it costs here is measured by `python -m tests.bench.auth`."""
    ring, asked = keys_module.ApiKeyCache(app.state.parts.sessions), []
    look_up = ring._look_up
    monkeypatch.setattr(ring, "_look_up", lambda key_hash: asked.append(key_hash) or look_up(key_hash))
    monkeypatch.setattr(keys_module, "TRUSTED_S", 3600.0)
    for _ in range(500):
        await ring.principal(issued["key"])
    assert len(asked) == 1


async def test_uses_are_written_at_the_end_of_the_process(issued, admin, path, settings, recorder):
    app = create_app(settings, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app), client_of(app, **{"X-API-Key": issued["key"]}) as client:
        assert (await client.get("/organizations")).status_code == 200
        await until(lambda: bool(app.state.parts.key_uses._uses))
    assert (await admin.get(f"{path}/{issued['id']}")).json()["data"]["last_used_at"]
