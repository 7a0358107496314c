"""Deleting projects and restoring them: what is refused, what ends, what is free again."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select

from domain.lifecycle import ReleaseState
from domain.permissions import Role
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import AuditEntry, Environment, Operation, Release, Route, RoutingGeneration
from storage.repositories.routing import RoutingRepository
from tests.api.bodies import CASE, RESULT
from tests.api.conftest import Caller, World, make_world
from tests.support.facts import facts

BODY = {"version_tag": "9.0.0", "git_branch": "main", "environment": "dev"}
REPORT = {"version_tag": "9.0.1", "git_branch": "main", "git_commit_hash": "abc123d"}


@pytest.fixture
async def fresh(platform, caller, request):
    slug = request.node.name.translate(str.maketrans("_[].", "----")).lower()
    return await make_world(platform, caller, slug.strip("-"))


@pytest.fixture
def admin(fresh, caller):
    return caller(Role.ADMIN, fresh.org["id"])


@pytest.fixture
def live(rows, build_of):
    """A version live in dev with a route, as far as the records tell."""

    async def make(world: World) -> dict[str, str]:
        made = await build_of(world, "1.0.0")
        async with transaction(rows) as session:
            release = await session.get_one(Release, UUID(made["deployment_id"]))
            environment = await session.get_one(Environment, release.environment_id)
            await RoutingRepository(session).set_route(environment.id, environment.host, [(release.id, 100)])
        return made

    return make


def path(world: World) -> str:
    return f"/projects/{world.project['id']}"


async def delete(caller: Caller, world: World):
    return await caller.http.delete(path(world))


async def shown(caller: Caller, world: World, query: str = "") -> list[str]:
    listed = (await caller.get(f"/organizations/{world.org['id']}/projects{query}")).json()["data"]
    return [row["id"] for row in listed]


async def audited(rows, world: World) -> list[AuditEntry]:
    async with transaction(rows) as session:
        ends = AuditEntry.action.in_(("project.deleted", "project.restored"))
        found = select(AuditEntry).where(AuditEntry.resource_id == UUID(world.project["id"]), ends)
        return list((await session.scalars(found.order_by(AuditEntry.id))).all())


async def test_it_is_gone_from_lists_and_still_read(*, fresh, admin, rows):
    response = await delete(admin, fresh)
    assert (response.status_code, response.content) == (204, b"")
    assert await shown(admin, fresh) == []
    assert await shown(admin, fresh, "?status=deleted") == [fresh.project["id"]]
    assert (await admin.get(path(fresh))).json()["data"]["status"] == "deleted"
    assert (await admin.get(f"/features/{fresh.feature['id']}")).status_code == 200
    [entry] = await audited(rows, fresh)
    assert (entry.action, entry.actor, entry.resource_type) == ("project.deleted", admin.subject, "project")
    assert entry.request_id == response.headers["x-request-id"]
    assert entry.details == {"slug": "shop", "ended_releases": []}
    assert entry.changes == {"status": {"from": "active", "to": "deleted"}}


async def test_again_it_changes_nothing(*, fresh, admin, rows):
    assert [(await delete(admin, fresh)).status_code for _ in range(2)] == [204, 204]
    assert len(await audited(rows, fresh)) == 1


async def test_what_was_changed_meanwhile_is_not_deleted_unseen(*, fresh, admin):
    seen = (await admin.get(path(fresh))).headers["etag"]
    await admin.patch(path(fresh), {"description": "important now"})
    stale = await admin.http.delete(path(fresh), headers={"If-Match": seen})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")
    assert (await admin.get(path(fresh))).json()["data"]["status"] == "active"
    fits = {"If-Match": facts(stale.json()["error"])["etag"]}
    # The second one is the first one's repetition, and must not fail for what that did.
    assert [(await admin.http.delete(path(fresh), headers=fits)).status_code for _ in range(2)] == [204, 204]


async def test_who_may(fresh, world, caller):
    for one in (fresh.developer, fresh.manager):
        for response in (await delete(one, fresh), await one.post(path(fresh) + "/restore")):
            assert response.status_code == 403
            assert facts(response.json()["error"]) == {"missing_permission": ["projects:delete"]}
    stranger = caller(Role.ADMIN, world.org["id"])
    assert (await delete(stranger, fresh)).status_code == 404
    assert (await stranger.http.delete(f"/projects/{new_id()}")).status_code == 404


async def test_services_end_in_the_same_transaction(*, fresh, admin, live, rows):
    made = await live(fresh)
    async with transaction(rows) as session:
        before = await session.scalar(select(RoutingGeneration.generation))
    assert (await delete(admin, fresh)).status_code == 204
    async with transaction(rows) as session:
        release = await session.get_one(Release, UUID(made["deployment_id"]))
        environment = await session.get_one(Environment, release.environment_id)
        assert release.state == ReleaseState.STOPPED
        assert (environment.current_release_id, environment.previous_release_id) == (None, None)
        assert await session.get(Route, environment.id) is None
        assert await session.scalar(select(RoutingGeneration.generation)) > before
    [entry] = await audited(rows, fresh)
    assert entry.details["ended_releases"] == [made["deployment_id"]]
    assert (await admin.get(f"/deployments/{made['deployment_id']}")).json()["data"]["status"] == "success"


async def test_unfinished_operations_are_named(*, fresh, admin, build_of, end, rows, operations):
    made = await build_of(fresh, "1.0.0")
    accepted = await fresh.developer.made(f"/features/{fresh.feature['id']}/build-and-deploy", BODY)
    response = await delete(admin, fresh)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (409, "CONFLICT")
    assert facts(error) == {"operation_ids": [accepted["operation_id"]]}
    assert accepted["operation_id"] in error["message"]
    assert (await admin.get(path(fresh))).json()["data"]["status"] == "active"
    async with transaction(rows) as session:
        assert (await session.get_one(Release, UUID(made["deployment_id"]))).state == ReleaseState.ACTIVE
    assert await audited(rows, fresh) == []
    await end(accepted["resource_id"], "cancelled", operation="cancelled")
    assert (await delete(admin, fresh)).status_code == 204


async def test_nothing_new_is_done_with_it(*, fresh, admin, live, end, operations):
    made = await live(fresh)
    other = await fresh.developer.made(f"/features/{fresh.feature['id']}/build-and-deploy", BODY)
    await end(other["resource_id"], "failed")
    await delete(admin, fresh)
    operations.started.clear()
    asked = [
        (f"/features/{fresh.feature['id']}/build-and-deploy", BODY),
        (f"/features/{fresh.feature['id']}/builds", REPORT),
        (f"/builds/{made['build_id']}/deploy", {"environment": "dev"}),
        (f"/deployments/{other['resource_id']}/retry", {"reason": "why not"}),
        (f"/deployments/{made['deployment_id']}/rollback", {"reason": "why not"}),
    ]
    for url, body in asked:
        response = await fresh.developer.post(url, body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE"), url
    settings = await fresh.manager.patch(f"{path(fresh)}/environments/dev", {"policy": "reject"})
    assert (settings.status_code, settings.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert "restore it first" in settings.json()["error"]["message"]
    assert operations.started == []


async def test_what_is_in_it_can_only_be_read(*, fresh, admin):
    """Not planned, changed, removed or tested, until it is restored; an archived one can be planned."""
    case = await fresh.developer.made(f"/features/{fresh.feature['id']}/tests", CASE)
    requirement, feature = f"/requirements/{fresh.requirement['id']}", f"/features/{fresh.feature['id']}"
    wish = {"title": "More", "description": "d", "acceptance_criteria": ["a"]}
    asked = [
        ("POST", f"{path(fresh)}/requirements", wish),
        ("PATCH", requirement, {"priority": "low"}),
        ("POST", f"{requirement}/features", {"name": "More", "description": "d"}),
        ("PATCH", feature, {"description": "other"}),
        ("PATCH", f"{feature}/status", {"status": "in_progress"}),
        ("POST", f"{feature}/tests", CASE),
        ("PATCH", f"/testcases/{case['id']}", {"priority": "low"}),
        ("POST", f"/testcases/{case['id']}/results", RESULT),
        ("DELETE", f"/testcases/{case['id']}", None),
        ("DELETE", feature, None),
        ("PATCH", path(fresh), {"name": "Other"}),
    ]

    async def ask() -> list[tuple[int, str | None]]:
        answers = []
        for method, url, body in asked:
            options = {} if body is None else {"json": body}
            response = await admin.http.request(method, url, **options, headers={"Idempotency-Key": f"{method} {url}"})
            code = response.json().get("error", {}).get("code") if response.content else None
            answers.append((response.status_code, code))
        return answers

    await delete(admin, fresh)
    assert await ask() == [(400, "INVALID_STATE")] * len(asked)
    for url in (requirement, feature, f"/testcases/{case['id']}"):
        assert (await admin.get(url)).status_code == 200
    assert (await admin.post(path(fresh) + "/restore")).status_code == 200
    assert (await admin.patch(path(fresh), {"status": "archived"})).status_code == 200
    # The same keys: a refusal was not kept.
    assert [status for status, _ in await ask()] == [201, 200, 201, 200, 200, 201, 200, 201, 204, 204, 200]


async def test_restored_it_is_deployed_again_but_nothing_comes_back(*, fresh, admin, live, rows, operations):
    made = await live(fresh)
    await delete(admin, fresh)
    response = await admin.post(path(fresh) + "/restore")
    data = response.json()["data"]
    assert (response.status_code, data["id"], data["status"]) == (200, fresh.project["id"], "active")
    assert await shown(admin, fresh) == [fresh.project["id"]]
    dev = (await admin.get(f"{path(fresh)}/environments/dev")).json()["data"]
    assert (dev["current_release"], dev["previous_release"]) == (None, None)
    entry = (await audited(rows, fresh))[-1]
    assert (entry.action, entry.actor) == ("project.restored", admin.subject)
    deployed = await fresh.developer.made(f"/builds/{made['build_id']}/deploy", {"environment": "dev"})
    assert deployed["status"] == "pending"


async def test_what_ran_before_is_no_rollbacks_target(*, fresh, admin, live, build_of, operations):
    """It may be stopping at this very moment; its build can be deployed again."""
    await live(fresh)
    await delete(admin, fresh)
    await admin.post(path(fresh) + "/restore")
    made = await build_of(fresh, "2.0.0")
    response = await fresh.developer.post(f"/deployments/{made['deployment_id']}/rollback", {"reason": "bad"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE")
    assert "no older healthy release" in response.json()["error"]["message"]


async def test_only_a_deleted_one_is_restored(*, fresh, admin):
    response = await admin.post(path(fresh) + "/restore")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE")


async def test_the_slug_is_free_until_it_is_taken(*, fresh, admin):
    await delete(admin, fresh)
    body = {"name": "Shop", "slug": "shop", "repository_url": "https://git.example.com/acme/shop"}
    second = await fresh.developer.made(f"/organizations/{fresh.org['id']}/projects", body)
    response = await admin.post(path(fresh) + "/restore")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (409, "DUPLICATE_SLUG")
    assert facts(error) == {"slug": "shop", "project_id": second["id"]}
    assert (await admin.get(path(fresh))).json()["data"]["status"] == "deleted"
    assert (await admin.http.delete(f"/projects/{second['id']}")).status_code == 204
    assert (await admin.post(path(fresh) + "/restore")).status_code == 200


async def test_a_restored_one_needs_room(*, fresh, admin, platform, caller):
    org = await platform.made(
        "/organizations", {"name": "Small", "slug": f"small-{fresh.org['slug']}", "max_projects": 1}
    )
    boss = caller(Role.ADMIN, org["id"])
    body = {"name": "One", "slug": "one", "repository_url": "https://git.example.com/acme/one"}
    one = await boss.made(f"/organizations/{org['id']}/projects", body)
    await boss.http.delete(f"/projects/{one['id']}")
    await boss.made(f"/organizations/{org['id']}/projects", {**body, "slug": "two"})
    response = await boss.post(f"/projects/{one['id']}/restore")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "QUOTA_EXCEEDED")


async def test_an_idempotency_key_replays_the_restore(*, fresh, admin, rows):
    await delete(admin, fresh)
    headers = {"Idempotency-Key": "one"}
    answers = [await admin.post(path(fresh) + "/restore", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(await audited(rows, fresh)) == 2


async def test_deployments_and_a_deletion_at_once(*, fresh, admin, build_of, rows, operations):
    """Whoever comes first: either operations run and it stays, or it is deleted and none begins."""
    made = await build_of(fresh, "1.0.0")
    deploys = [fresh.developer.post(f"/builds/{made['build_id']}/deploy", {"environment": "dev"}) for _ in range(4)]
    answers = await asyncio.gather(*deploys[:2], delete(admin, fresh), *deploys[2:])
    removed = answers.pop(2)
    begun = [answer for answer in answers if answer.status_code == 201]
    async with transaction(rows) as session:
        open_ones = select(Operation.id).where(
            Operation.project_id == UUID(fresh.project["id"]), Operation.completed_at.is_(None)
        )
        assert len((await session.scalars(open_ones)).all()) == len(begun)
    if removed.status_code == 204:
        assert begun == []
    else:
        assert (removed.status_code, len(begun) > 0) == (409, True)


async def test_many_restores_and_one_slug(*, fresh, admin):
    """Two deleted projects of one slug, restored at once: one of them gets it."""
    await delete(admin, fresh)
    body = {"name": "Shop", "slug": "shop", "repository_url": "https://git.example.com/acme/shop"}
    second = await fresh.developer.made(f"/organizations/{fresh.org['id']}/projects", body)
    await admin.http.delete(f"/projects/{second['id']}")
    urls = [path(fresh) + "/restore", f"/projects/{second['id']}/restore"]
    answers = await asyncio.gather(*(admin.post(url) for url in urls))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
