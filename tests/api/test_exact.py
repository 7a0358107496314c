"""The contract, sentence by sentence, where an answer was not exact."""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import BaseModel
from sqlalchemy import update

from api.http.deprecation import Deprecation
from api.schemas.base import Body
from domain.permissions import Role
from domain.words import PATTERNS
from runtime.ids import new_id, now
from runtime.version import RELEASE
from storage.engine import Sessions, transaction
from storage.models import Deployment, Operation
from tests.api.conftest import BASE_URL, make_world
from tests.api.document import Route, routes_of
from tests.api.http.test_errors import MISSING, check_error
from tests.api.owned_resources import Owner
from tests.api.people import acceptance, invited, joined
from tests.api.walk import ask, filled, writes
from tests.support.deep import by_depth
from tests.support.facts import facts

DOCS = Path(__file__).resolve().parents[2] / "docs"

REQUIREMENT = {"title": "Sell things", "description": "d", "acceptance_criteria": ["It sells"]}
FEATURE = {"name": "Basket", "description": "Holds things"}
PROJECT = {"name": "More", "slug": "more", "repository_url": "https://git.example.com/acme/more"}
# How libraries speak.
FOREIGN = re.compile(
    r"\^\[|\$$|Input should|Value error|String should|List should|Field required|Extra inputs|Expecting|pydantic|ctx",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
async def world(platform, caller):
    return await make_world(platform, caller, "exact")


@pytest.fixture(scope="module")
def routes(app) -> list[Route]:
    return routes_of(app)


@pytest.fixture
async def rows_of_failure(world, build_of, rows: Sessions) -> tuple[str, str]:
    """A failed operation and its deployment, as a worker leaves them."""
    made = await build_of(world, f"0.0.{new_id().int % 10**9}", live=False)
    error = {"code": "BUILD_FAILED", "message": "make ended with 3", "details": {"exit_code": 3, "log_tail": "the end"}}
    async with transaction(rows) as session:
        operation = await session.get_one(Operation, UUID(made["operation_id"]))
        operation.status, operation.error, operation.completed_at = "failed", error, now()
        deployment = await session.get_one(Deployment, UUID(made["deployment_id"]))
        deployment.status, deployment.error = "failed", error
    return made["operation_id"], made["deployment_id"]


def check_fault(response: httpx2.Response, field: str) -> str:
    error = check_error(response, 400, "VALIDATION_ERROR")
    [message] = [fault["message"] for fault in error["details"] if fault["field"] == field]
    return message


async def test_an_organizations_admin_may_lower_max_users(platform, caller):
    made = {"name": "Large", "slug": "large-one", "plan": "enterprise", "max_users": 50, "max_projects": 20}
    org = await platform.made("/organizations", made)
    admin, path = caller(Role.ADMIN, org["id"]), f"/organizations/{org['id']}"
    for name, lower, given in (("max_users", 30, 50), ("max_projects", 10, 20)):
        assert (await admin.patch(path, {name: lower})).json()["data"][name] == lower
        refused = check_error(await admin.patch(path, {name: given}), 403, "AUTHORIZATION_DENIED")
        assert name in facts(refused)
    small = {"max_users": 2, "max_projects": 0}
    assert (await admin.patch(path, small)).json()["data"].items() >= small.items()
    free = {"max_users": 10, "max_projects": 5}
    assert (await admin.patch(path, free)).json()["data"].items() >= free.items()
    assert (await caller(Role.DEVELOPER, org["id"]).patch(path, {"max_users": 1})).status_code == 403


async def test_an_admin_lowers_no_quota_below_what_there_is(platform, caller):
    org = await platform.made("/organizations", {"name": "Full", "slug": "full-one"})
    admin = caller(Role.ADMIN, org["id"])
    for number in range(2):
        await joined(admin, org["id"], f"{number}-of-{org['id']}@example.com")
    refused = check_error(await admin.patch(f"/organizations/{org['id']}", {"max_users": 1}), 422, "UNPROCESSABLE")
    assert facts(refused)["members"] == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_stories", [{}]),
        ("user_stories", [{"title": "", "description": " "}]),
        ("user_stories", [{"acceptance_criteria": ["x"]}]),
        ("user_stories", [{"title": "x", "acceptance_criteria": [""]}]),
        ("acceptance_criteria", []),
        ("acceptance_criteria", [""]),
        ("acceptance_criteria", ["It sells", " \n\t"]),
        ("tags", [""]),
        ("description", " "),
    ],
)
async def test_requirements_that_say_nothing_are_refused(world, field, value):
    refused = await world.developer.post(f"/projects/{world.project['id']}/requirements", {**REQUIREMENT, field: value})
    error = check_error(refused, 400, "VALIDATION_ERROR")
    assert all(fault["field"].startswith(field) for fault in error["details"])
    changed = await world.developer.patch(f"/requirements/{world.requirement['id']}", {field: value})
    check_error(changed, 400, "VALIDATION_ERROR")


async def test_a_story_needs_a_title_or_a_description(world):
    for story in ({"title": "Login"}, {"description": "As a user"}):
        body = {**REQUIREMENT, "user_stories": [story]}
        made = await world.developer.made(f"/projects/{world.project['id']}/requirements", body)
        assert [{key: kept[key] for key in story} for kept in made["user_stories"]] == [story]


@pytest.mark.parametrize("slug", ["-", "--", "-a", "a-", "---a", "", "A", "a b", "a_b"])
async def test_slugs_begin_and_end_with_a_letter_or_a_digit(platform, world, slug):
    check_fault(await platform.post("/organizations", {"name": "Odd", "slug": slug}), "slug")
    projects = f"/organizations/{world.org['id']}/projects"
    check_fault(await world.developer.post(projects, {**PROJECT, "slug": slug}), "slug")
    check_fault(await world.developer.patch(f"/projects/{world.project['id']}", {"slug": slug}), "slug")


async def test_an_unknown_developer_id_is_400(platform, caller, world):
    features = f"/requirements/{world.requirement['id']}/features"
    other = await platform.made("/organizations", {"name": "Other", "slug": "other-people"})
    stranger = await joined(caller(Role.ADMIN, other["id"]), other["id"], "stranger@other.example.com")
    told = set()
    for unknown in (MISSING, stranger["id"]):
        refused = await world.developer.post(features, {**FEATURE, "developer_id": unknown})
        told.add(check_fault(refused, "developer_id"))
        changed = await world.developer.patch(f"/features/{world.feature['id']}", {"developer_id": unknown})
        told.add(check_fault(changed, "developer_id"))
    assert len(told) == 1


async def test_a_developer_is_a_member_or_a_service_account(caller, world):
    admin = caller(Role.ADMIN, world.org["id"])
    features = f"/requirements/{world.requirement['id']}/features"
    member = await joined(admin, world.org["id"], "developer@exact.example.com")
    program = await admin.made(f"/organizations/{world.org['id']}/service-accounts", {"name": "A", "role": "developer"})
    for known in (member["id"], program["id"]):
        made = await world.developer.made(features, {**FEATURE, "developer_id": known})
        assert made["developer_id"] == known


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repository_type", "svn"),
        ("repository_url", "svn://svn.example.com/shop/trunk"),
        ("repository_url", "SVN+SSH://svn.example.com/shop"),
        ("repository_url", "svn+https://svn.example.com/shop"),
    ],
)
async def test_svn_is_refused_with_what_to_use_instead(world, field, value):
    body = {**PROJECT, "slug": "old", field: value}
    refused = await world.developer.post(f"/organizations/{world.org['id']}/projects", body)
    assert "git svn clone" in check_fault(refused, field)
    changed = await world.developer.patch(f"/projects/{world.project['id']}", {field: value})
    words = check_fault(changed, field)
    assert field == "repository_type" or "git svn clone" in words  # which nobody can change
    kept = (await world.developer.get(f"/projects/{world.project['id']}")).json()["data"]
    assert (kept["repository_type"], kept["repository_url"]) == ("git", world.project["repository_url"])


@pytest.mark.parametrize(
    "url", ["https://git.example.com/svn/shop", "git@svn.example.com:shop", "https://svn.example.com/x"]
)
async def test_a_git_address_that_has_the_letters_svn_in_it_is_none(world, url):
    project = {**PROJECT, "slug": f"git-{len(url)}", "repository_url": url}
    assert await world.developer.made(f"/organizations/{world.org['id']}/projects", project)


async def test_a_malformed_id_and_an_unknown_url_have_different_errors(platform, world):
    answers = {}
    for path in ("/projects/nonsense", f"/projects/{MISSING}", "/nowhere"):
        answers[path] = check_error(await platform.get(path), 404, "RESOURCE_NOT_FOUND")
    assert len({error["message"] for error in answers.values()}) == 3
    [fault] = answers["/projects/nonsense"]["details"]
    assert (fault["field"], fault["code"]) == ("project_id", "id_malformed")
    assert "no address" in answers["/nowhere"]["message"]
    plain = world.project["id"].replace("-", "")
    other = check_error(await platform.get(f"/projects/{plain}"), 404, "RESOURCE_NOT_FOUND")
    assert other["details"] == answers["/projects/nonsense"]["details"]
    moon = check_error(
        await platform.get(f"/projects/{world.project['id']}/environments/moon"), 404, "RESOURCE_NOT_FOUND"
    )
    assert "dev, staging, production" in moon["details"][0]["message"]


async def test_messages_say_key_where_a_key_was_used(app, caller, world):
    admin = caller(Role.ADMIN, world.org["id"])
    keys = f"/organizations/{world.org['id']}/api-keys"
    key = (await admin.made(keys, {"name": "ci", "scopes": ["projects:read", "api_keys:write"]}))["key"]
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL + "/v1", headers={"X-API-Key": key}) as http:
        refused = await http.post(f"/organizations/{world.org['id']}/projects", json=PROJECT)
        assert "your API key does not carry" in check_error(refused, 403, "AUTHORIZATION_DENIED")["message"]
    told = await caller(Role.VIEWER, world.org["id"]).post(f"/organizations/{world.org['id']}/projects", PROJECT)
    assert "your token does not carry" in check_error(told, 403, "AUTHORIZATION_DENIED")["message"]


def test_patterns_are_explained_in_words():
    """Those that bodies are held against: nobody is answered a regular expression."""

    def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for one in model.__subclasses__():
            yield from (one, *below(one))

    def patterns(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
            return own.union(*map(patterns, part.values()))
        return set().union(*map(patterns, part)) if isinstance(part, list) else set()

    bodies = [model for model in below(Body) if model.__module__.startswith("api.")]
    found = set().union(*(patterns(model.model_json_schema()) for model in bodies))
    assert len(found) > 3
    assert {pattern for pattern in found if pattern not in PATTERNS} == set()


ODD: tuple[Any, ...] = by_depth(
    short=(None, -1, "", "a" * 30_000, {"x": {}}),
    long=(None, True, -1, 1.5, 10**30, "", "x", "\x00", "a" * 30_000, [], [None], {}, {"x": {}}),
)


@pytest.mark.shortened
async def test_no_message_is_a_librarys(caller, world, routes):
    """Every field of every body with values that it cannot have; and bodies that are none."""
    admin = caller(Role.ADMIN, world.org["id"])
    values = {name: MISSING for route in routes for name in route.parameters} | {"org_id": world.org["id"]}
    seen = set()

    def check(response: httpx2.Response) -> None:
        if response.status_code < 400:
            return
        error = response.json()["error"]
        for words in (error["message"], *(fault["message"] for fault in error.get("details", ()))):
            assert not FOREIGN.search(words), (response.url, words)
        seen.update(fault["code"] for fault in error.get("details", ()))

    for route in writes(routes):
        if not isinstance(route.body, dict):
            continue
        path = filled(route, values)
        for field in route.body:
            for odd in ODD:
                check(await ask(route, admin, path, json={**route.body, field: odd}))
        for body in (b"", b"{", b"[1,", b"nonsense", b'"x"', b"[]", b'{"a": 1}', b"\xff"):
            headers = {"Content-Type": "application/json"}
            check(await admin.http.request(route.method, path, content=body, headers=headers))
    assert len(seen) > 12, seen


async def test_details_is_an_array_everywhere(caller, platform, world, routes):
    admin, viewer = caller(Role.ADMIN, world.org["id"]), caller(Role.VIEWER, world.org["id"])
    values = {name: "nonsense" for route in routes for name in route.parameters} | {"org_id": world.org["id"]}
    refused = 0
    for route in routes:
        for who in (admin, viewer):
            response = await ask(route, who, filled(route, values))
            if response.status_code >= 400 and "error" in response.json():
                refused += 1
                details = response.json()["error"].get("details", [])
                assert isinstance(details, list), (route.path, details)
                assert all(fault["field"] and fault["message"] for fault in details)
    assert refused > 100


async def test_a_failed_operation_and_its_deployment_list_their_details(world, operations, rows_of_failure):
    operation, deployment = rows_of_failure
    for path in (f"/operations/{operation}", f"/deployments/{deployment}"):
        error = (await world.developer.get(path)).json()["data"]["error"]
        assert facts(error) == {"exit_code": 3, "log_tail": "the end"}
        assert {fault["message"] for fault in error["details"]} == {"3", "the end"}


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("name", ["openapi.json", "openapi-3.0.json", "postman-collection.json"])
async def test_the_documents_are_served_to_anybody_at_fixed_addresses_and_may_be_kept(app, name, prefix):
    url = f"{prefix}/{name}"
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as http:
        response = await http.get(url)
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert response.json() == json.loads((DOCS / name).read_text())
        assert response.headers["cache-control"] == "public, max-age=300"
        tag = response.headers["etag"]
        for known in (tag, f'W/{tag}, "other"', "*"):
            again = await http.get(url, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await http.get(url, headers={"If-None-Match": '"other"'})).status_code == 200
        head = await http.head(url)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
        assert (await http.post(url)).status_code == 405


async def test_the_document_names_the_others(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as http:
        document = (await http.get("/v1/openapi.json")).json()
        assert "/postman-collection.json" in document["info"]["description"]


async def test_health_tells_the_products_version(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as http:
        for path in ("/health", "/v1/health"):
            assert (await http.get(path)).json()["version"] == RELEASE


async def test_the_sunset_of_v0_does_not_speak_of_the_past_as_future(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as http:
        response = await http.get("/v0/projects")
    [warning] = response.json()["meta"]["warnings"]
    assert "stopped working on 2024-12-31" in warning
    assert "stops working" not in response.text
    assert "is deprecated" not in response.text


def test_what_is_over_and_what_is_to_come_have_their_own_tenses():
    today = now().date()
    over = Deprecation(today - timedelta(days=9), today, what="It").warning()
    assert over == f"It was deprecated on {today - timedelta(days=9)} and stopped working on {today}."
    ends = today + timedelta(days=1)
    assert (
        Deprecation(today, ends, what="It").warning() == f"It is deprecated since {today} and stops working on {ends}."
    )
    assert Deprecation(ends, what="It").warning() == f"It will be deprecated on {ends}."
    assert Deprecation(date(2020, 1, 1), what="It").warning() == "It is deprecated since 2020-01-01."


async def test_suspended_organizations_create_nothing(*, platform, caller, build_of, rows, operations, routes):
    """Every POST that makes something; what there is is read, changed and deleted as before."""
    world = await make_world(platform, caller, "suspended-one")
    mine = Owner(world, caller(Role.ADMIN, world.org["id"]), caller(Role.VIEWER, world.org["id"]), build_of, rows)
    await mine.fill()
    token = await invited(mine.admin, world.org["id"], "late@example.com")
    operations.started.clear()
    changed = await platform.patch(f"/organizations/{world.org['id']}", {"status": "suspended"})
    assert changed.status_code == 200, changed.text
    making = [
        route
        for route in writes(routes)
        if route.method == "POST" and {"201", "202"} & set(route.operation["responses"])
    ]
    answered = {}
    for route in making:
        response = await ask(route, mine.admin, filled(route, mine.made))
        code = response.json().get("error", {}).get("code")
        answered[route.name] = (response.status_code, code)
    made = {name: answer for name, answer in answered.items() if answer[0] < 300}
    assert made == {}, made
    refused = [name for name, answer in answered.items() if answer == (403, "ORGANIZATION_NOT_ACTIVE")]
    wanted = {"create_project", "create_requirement", "create_feature", "create_test_case", "record_test_result"}
    wanted |= {"create_webhook", "create_api_key", "create_secret", "create_service_account", "create_application"}
    assert wanted - set(refused) == set(), answered
    late = await mine.admin.post("/invitations/accept", acceptance(token))
    check_error(late, 403, "ORGANIZATION_NOT_ACTIVE")
    assert operations.started == []
    assert (await mine.admin.get(f"/projects/{mine.made['project_id']}")).status_code == 200
    hook = f"/organizations/{world.org['id']}/webhooks/{mine.made['webhook_id']}"
    assert (await mine.admin.http.delete(hook)).status_code == 204
    assert (await platform.patch(f"/organizations/{world.org['id']}", {"status": "active"})).status_code == 200
    await world.developer.made(f"/organizations/{world.org['id']}/projects", PROJECT)


async def test_in_a_suspended_organization_people_hold_and_end_what_is_under_way_and_carry_nothing_on(
    *, platform, caller, build_of, operations, rows
):
    """Approve, resume, promote and retry start or carry on; pause, reject, abort, cancel and rollback protect."""
    world = await make_world(platform, caller, "suspended-people")
    made = await build_of(world, "8.0.0", live=False)
    async with transaction(rows) as session:
        mine = update(Operation).where(Operation.id == UUID(made["operation_id"]))
        await session.execute(mine.values(workflow_started_at=now()))
    live = await build_of(world, "8.1.0", environment="staging")
    newer = await build_of(world, "8.2.0", environment="staging")
    changed = await platform.patch(f"/organizations/{world.org['id']}", {"status": "suspended"})
    assert changed.status_code == 200, changed.text
    for name in ("decided", "stopped", "started"):
        getattr(operations, name).clear()
    deployment = f"/deployments/{made['deployment_id']}"
    for action in ("approve", "resume", "promote"):
        for who in (world.manager, caller(Role.ADMIN, world.org["id"]), platform):
            refused = check_error(await who.post(f"{deployment}/{action}"), 403, "ORGANIZATION_NOT_ACTIVE")
            assert "can be paused, rejected, aborted and rolled back" in refused["message"]
    for action in ("retry", "promote"):
        again = await world.manager.post(f"/deployments/{live['deployment_id']}/{action}", {"reason": "again"})
        assert again.status_code in {400, 403}, again.text
    assert (operations.decided, operations.stopped, operations.started) == ([], [], [])
    for action in ("pause", "reject", "abort"):
        taken = await world.manager.post(f"{deployment}/{action}", {"reason": "stop it"})
        assert taken.status_code == 200, (action, taken.text)
    assert [action for _, action, _ in operations.decided] == ["pause", "reject"]
    assert len(operations.stopped) == 1
    back = await world.manager.post(f"/deployments/{newer['deployment_id']}/rollback", {"reason": "bad"})
    assert back.status_code in {200, 202}, back.text
    assert (await platform.patch(f"/organizations/{world.org['id']}", {"status": "active"})).status_code == 200
    assert (await world.manager.post(f"{deployment}/approve")).status_code == 200


async def test_deployments_tell_their_git_commit_hash(world: Any, build_of, caller):
    features = f"/requirements/{world.requirement['id']}/features"
    feature = await world.developer.made(features, FEATURE)
    report = {"version_tag": "7.0.0", "git_commit_hash": "abc123def456", "git_branch": "main"}
    build = await world.developer.made(f"/features/{feature['id']}/builds", report)
    made = await world.developer.made(f"/builds/{build['id']}/deploy", {"environment": "dev"})
    assert (made["git_commit_hash"], made["git_branch"]) == ("abc123def456", "main")
    body = {"version_tag": "7.0.1", "git_commit_hash": "abc123def457", "environment": "dev"}
    accepted = await world.developer.made(f"/features/{feature['id']}/build-and-deploy", body)
    shown = (await world.developer.get(f"/deployments/{accepted['resource_id']}")).json()["data"]
    assert shown["git_commit_hash"] == "abc123def457"


def test_releases_have_one_number():
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert f'version = "{RELEASE}"' in project.read_text()
