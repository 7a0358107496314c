"""PATCH and DELETE of organizations, projects, requirements and features: what moves, what stays, who may."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from domain.permissions import Role
from storage.engine import transaction
from storage.models import Project
from tests.api.http.test_errors import check_error
from tests.api.people import joined
from tests.support.facts import facts

NEW = {
    "requirement": {"title": "Sell more", "description": "...", "acceptance_criteria": ["It sells"]},
    "feature": {"name": "Wishlist", "description": "Holds wishes"},
    "project": {"name": "Site", "repository_url": "https://git.example.com/acme/site"},
}


def kept(before, after, *changed):
    """Whether nothing but the named fields is another."""
    rest = set(before) - {*changed, "updated_at"}
    return all(before[name] == after[name] for name in rest)


@pytest.fixture(scope="module")
def admin(caller, world):
    return caller(Role.ADMIN, world.org["id"])


@pytest.fixture(scope="module", autouse=True)
async def room(platform, world):
    await platform.patch(f"/organizations/{world.org['id']}", {"max_projects": 100})


@pytest.fixture
async def organization(platform, request):
    slug = request.node.name.replace("_", "-").lower()
    return await platform.made("/organizations", {"name": "Changing", "slug": slug, "max_projects": 5})


@pytest.fixture
async def project(world, request):
    slug = request.node.name.replace("_", "-").lower()
    return await world.developer.made(f"/organizations/{world.org['id']}/projects", {**NEW["project"], "slug": slug})


@pytest.fixture
async def requirement(world):
    return await world.developer.made(f"/projects/{world.project['id']}/requirements", NEW["requirement"])


@pytest.fixture
async def feature(world):
    return await world.developer.made(f"/requirements/{world.requirement['id']}/features", NEW["feature"])


async def change(caller, path, body, **options):
    response = await caller.patch(path, body, **options)
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def test_an_empty_patch_an_unknown_field_and_a_null_that_cannot_be_are_400(platform, world):
    paths = [
        (f"/organizations/{world.org['id']}", "name"),
        (f"/projects/{world.project['id']}", "name"),
        (f"/requirements/{world.requirement['id']}", "title"),
        (f"/features/{world.feature['id']}", "name"),
    ]
    for path, name in paths:
        for body in ({}, [], None, {"colour": "red"}, {name: None}, {name: ""}, {"id": world.org["id"]}):
            check_error(await platform.patch(path, body), 400, "VALIDATION_ERROR")
        empty = (await platform.patch(path, {})).json()["error"]["details"]
        assert "at least one field" in empty[0]["message"]


def test_the_schema_of_a_patch_names_no_defaults_and_wants_one_field(app):
    schemas = app.openapi()["components"]["schemas"]
    patches = [name for name in schemas if name.endswith("Update") and name != "EnvironmentUpdate"]
    assert len(patches) >= 6
    for name in patches:
        assert schemas[name]["minProperties"] == 1
        assert not any("default" in field for field in schemas[name]["properties"].values()), name
        assert "required" not in schemas[name]


async def test_admins_change_what_their_organization_is_called(caller, organization):
    admin = caller(Role.ADMIN, organization["id"])
    path = f"/organizations/{organization['id']}"
    body = {"name": "New Name", "description": "We sell", "website_url": "https://example.com", "type": "nonprofit"}
    data = await change(admin, path, body)
    assert data.items() >= body.items()
    assert kept(organization, data, *body)
    assert data["updated_at"] > organization["updated_at"]
    assert (await change(admin, path, {"description": None, "type": None}))["description"] is None
    assert (await admin.get(path)).json()["data"]["website_url"] == "https://example.com"
    check_error(await admin.patch(path, {"website_url": "not a url"}), 400, "VALIDATION_ERROR")


async def test_plan_quotas_and_status_are_changed_by_platform_admins_alone(caller, platform, organization):
    path = f"/organizations/{organization['id']}"
    granted = {"plan": "professional", "status": "suspended", "max_users": 50, "max_projects": 10}
    admin, manager = caller(Role.ADMIN, organization["id"]), caller(Role.RELEASE_MANAGER, organization["id"])
    for name, value in granted.items():
        refused = check_error(await admin.patch(path, {"name": "Still", name: value}), 403, "AUTHORIZATION_DENIED")
        assert next(iter(facts(refused))) == name
    assert (await manager.patch(path, {"name": "Mine"})).status_code == 403
    assert (await admin.get(path)).json()["data"] == organization
    assert (await change(platform, path, granted)).items() >= granted.items()
    listed = (await platform.get(f"/organizations?status=suspended&search={organization['slug']}")).json()["data"]
    assert [row["id"] for row in listed] == [organization["id"]]


async def test_a_quota_cannot_go_below_what_there_is(caller, platform, organization):
    path = f"/organizations/{organization['id']}"
    developer = caller(Role.DEVELOPER, organization["id"])
    for slug in ("one", "two"):
        await developer.made(f"{path}/projects", {**NEW["project"], "slug": slug})
    refused = check_error(await platform.patch(path, {"max_projects": 1}), 422, "UNPROCESSABLE")
    assert facts(refused) == {"max_projects": refused["message"], "given": 1, "projects": 2}
    assert (await change(platform, path, {"max_projects": 2}))["max_projects"] == 2
    full = await developer.post(f"{path}/projects", {**NEW["project"], "slug": "three"})
    check_error(full, 403, "QUOTA_EXCEEDED")


async def test_everything_a_project_says_can_change(world, project):
    path = f"/projects/{project['id']}"
    body = {
        "name": "New Site",
        "slug": "new-site",
        "description": "Anew",
        "visibility": "internal",
        "tech_stack": ["go", "htmx"],
        "repository_url": "https://git.example.com/acme/new-site",
        "template_type": "web",
    }
    data = await change(world.developer, path, body)
    assert data.items() >= body.items()
    assert kept(project, data, *body)
    assert (await world.developer.get(path)).json()["data"] == data
    cleared = await change(world.developer, path, {"description": None, "template_type": None, "tech_stack": []})
    assert (cleared["description"], cleared["template_type"], cleared["tech_stack"]) == (None, None, [])
    for url in ("nonsense", "https://user:pw@example.com/x"):
        refused = check_error(await world.developer.patch(path, {"repository_url": url}), 400, "VALIDATION_ERROR")
        assert refused["details"][0]["field"] == "repository_url"


async def test_a_new_slug_leaves_the_hosts_as_they_are(world, project):
    path = f"/projects/{project['id']}"
    before = (await world.developer.get(f"{path}/environments/dev")).json()["data"]["host"]
    await change(world.developer, path, {"slug": "renamed"})
    assert (await world.developer.get(f"{path}/environments/dev")).json()["data"]["host"] == before


async def test_one_slug_is_given_once_however_many_ask_at_once(world, platform):
    projects = f"/organizations/{world.org['id']}/projects"
    made = [await world.developer.made(projects, {**NEW["project"], "slug": f"race-{index}"}) for index in range(4)]
    asked = [world.developer.patch(f"/projects/{row['id']}", {"slug": "wanted"}) for row in made]
    asked.append(world.developer.post(projects, {**NEW["project"], "slug": "wanted"}))
    answers = await asyncio.gather(*asked)
    codes = Counter(answer.status_code for answer in answers)
    assert codes[200] + codes[201] == 1
    assert codes[409] == 4
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"DUPLICATE_SLUG"}
    found = (await platform.get(projects + "?page_size=100")).json()["data"]
    assert [row["slug"] for row in found].count("wanted") == 1


async def test_an_archived_project_is_not_deployed_and_comes_back(world, project):
    path, projects = f"/projects/{project['id']}", f"/organizations/{world.org['id']}/projects"
    assert (await change(world.developer, path, {"status": "archived"}))["status"] == "archived"
    archived = (await world.developer.get(f"{projects}?status=archived")).json()["data"]
    assert project["id"] in [row["id"] for row in archived]
    requirement = await world.developer.made(f"{path}/requirements", NEW["requirement"])
    feature = await world.developer.made(f"/requirements/{requirement['id']}/features", NEW["feature"])
    body = {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev"}
    refused = await world.developer.post(f"/features/{feature['id']}/build-and-deploy", body)
    check_error(refused, 400, "INVALID_STATE")
    assert (await change(world.developer, path, {"status": "active"}))["status"] == "active"
    check_error(await world.developer.patch(path, {"status": "deleted"}), 400, "VALIDATION_ERROR")


async def test_a_deleted_project_is_not_changed(world, project, rows):
    async with transaction(rows) as session:
        (await session.get_one(Project, UUID(project["id"]))).status = "deleted"
    for body in ({"status": "active"}, {"name": "Back"}):
        refused = await world.developer.patch(f"/projects/{project['id']}", body)
        assert facts(check_error(refused, 400, "INVALID_STATE")) == {
            "state": "deleted",
            "project_id": project["id"],
        }


async def test_everything_a_requirement_says_can_change(world, requirement):
    path = f"/requirements/{requirement['id']}"
    body = {
        "title": "Sell less",
        "description": "Quality",
        "user_stories": [{"title": "Calm", "description": None, "acceptance_criteria": []}],
        "acceptance_criteria": ["Fewer", "Better"],
        "priority": "low",
        "estimated_effort_points": 3,
        "tags": ["slow"],
        "status": "approved",
    }
    data = await change(world.developer, path, body)
    assert data.items() >= body.items()
    assert kept(requirement, data, *body)
    assert (await world.developer.get(path)).json()["data"] == data
    cleared = await change(world.developer, path, {"priority": None, "estimated_effort_points": None, "tags": []})
    assert (cleared["priority"], cleared["estimated_effort_points"], cleared["tags"]) == (None, None, [])
    check_error(await world.developer.patch(path, {"acceptance_criteria": []}), 400, "VALIDATION_ERROR")


async def test_a_requirement_moves_as_its_table_says(world, requirement):
    path = f"/requirements/{requirement['id']}"
    for status in ("draft", "approved", "in_progress", "completed", "in_progress", "cancelled", "draft", "rejected"):
        assert (await change(world.developer, path, {"status": status}))["status"] == status
    illegal = {"status": "completed", "title": "Not this"}
    refused = check_error(await world.developer.patch(path, illegal), 422, "UNPROCESSABLE")
    assert facts(refused) == {"state": "rejected", "asked": "completed", "allowed": ["draft"]}
    assert (await world.developer.get(path)).json()["data"]["title"] == requirement["title"]
    check_error(await world.developer.patch(path, {"status": "done"}), 400, "VALIDATION_ERROR")


async def test_requirements_are_filtered_searched_and_sorted(world, project):
    path = f"/projects/{project['id']}/requirements"
    for title, priority in (("Beta 100%", "high"), ("Alpha", "low"), ("Gamma", "high")):
        row = await world.developer.made(path, {**NEW["requirement"], "title": title, "priority": priority})
    await change(world.developer, f"/requirements/{row['id']}", {"status": "approved"})

    async def titles(query):
        response = await world.developer.get(f"{path}?{query}")
        assert response.status_code == 200, response.text
        return [row["title"] for row in response.json()["data"]]

    assert await titles("") == ["Gamma", "Alpha", "Beta 100%"]
    assert await titles("sort_by=title&sort_order=asc") == ["Alpha", "Beta 100%", "Gamma"]
    assert await titles("sort_by=title&sort_order=asc&page=2&page_size=2") == ["Gamma"]
    assert await titles("priority=high&sort_by=title") == ["Gamma", "Beta 100%"]
    assert await titles("status=approved") == ["Gamma"]
    assert await titles("search=ALPH") == ["Alpha"]
    assert await titles("search=%25") == ["Beta 100%"]
    first = (await world.developer.get(f"{path}?sort_by=title&sort_order=asc&page_size=2")).json()
    cursor = first["pagination"]["next_cursor"]
    assert await titles(f"cursor={cursor}&sort_by=title&sort_order=asc&page_size=2") == ["Gamma"]
    for query in ("status=done", "priority=urgent", "sort_by=name", "page_size=101", "sort_order=up"):
        check_error(await world.developer.get(f"{path}?{query}"), 400, "VALIDATION_ERROR")


async def test_everything_a_feature_says_can_change_but_its_status_has_its_own_path(platform, world, feature):
    developer = await joined(platform, world.org["id"], "works-on-it@example.com", "developer")
    path = f"/features/{feature['id']}"
    body = {
        "name": "Wishes",
        "description": "Many",
        "implementation_notes": "Carefully",
        "complexity_points": 13,
        "developer_id": developer["id"],
    }
    data = await change(world.developer, path, body)
    assert data.items() >= body.items()
    assert kept(feature, data, *body)
    assert (await world.developer.get(path)).json()["data"] == data
    assert (await change(world.developer, path, {"developer_id": None}))["developer_id"] is None
    for bad in ({"complexity_points": 14}, {"implementation_status": "completed"}, {"status": "completed"}):
        check_error(await world.developer.patch(path, bad), 400, "VALIDATION_ERROR")


async def test_a_feature_moves_as_its_table_says(world, feature):
    path = f"/features/{feature['id']}/status"
    refused = check_error(await world.developer.patch(path, {"status": "completed"}), 422, "UNPROCESSABLE")
    allowed = ["in_progress", "blocked"]
    assert facts(refused) == {"state": "not_started", "asked": "completed", "allowed": allowed}
    for status in ("not_started", "in_progress", "completed", "completed", "in_progress", "not_started"):
        assert (await change(world.developer, path, {"status": status}))["implementation_status"] == status


async def test_a_blocked_feature_says_why_and_another_one_does_not(world, feature):
    path = f"/features/{feature['id']}/status"
    for reason in ({}, {"blocked_reason": None}, {"blocked_reason": " "}):
        refused = check_error(
            await world.developer.patch(path, {"status": "blocked", **reason}), 400, "VALIDATION_ERROR"
        )
        assert refused["details"][0]["field"] == "blocked_reason"
    for reason in ("waits for legal", "waits for money"):
        data = await change(world.developer, path, {"status": "blocked", "blocked_reason": reason})
        assert (data["implementation_status"], data["blocked_reason"]) == ("blocked", reason)
    other = {"status": "in_progress", "blocked_reason": "still"}
    assert (await world.developer.patch(path, other)).status_code == 400
    moved = await change(world.developer, path, {"status": "in_progress"})
    assert (moved["implementation_status"], moved["blocked_reason"]) == ("in_progress", None)


async def test_features_are_filtered_searched_and_sorted(world, requirement):
    path = f"/requirements/{requirement['id']}/features"
    for name in ("Beta", "Alpha", "Gamma"):
        row = await world.developer.made(path, {**NEW["feature"], "name": name})
    await change(world.developer, f"/features/{row['id']}/status", {"status": "in_progress"})
    expected = {
        "": ["Gamma", "Alpha", "Beta"],
        "sort_by=name&sort_order=asc": ["Alpha", "Beta", "Gamma"],
        "status=in_progress": ["Gamma"],
        "search=ET": ["Beta"],
    }
    for query, names in expected.items():
        assert [row["name"] for row in (await world.developer.get(f"{path}?{query}")).json()["data"]] == names
    check_error(await world.developer.get(f"{path}?status=done"), 400, "VALIDATION_ERROR")


async def test_a_feature_is_deleted_by_those_who_may_and_only_unused(world, feature, build_of):
    path = f"/features/{feature['id']}"
    refused = check_error(await world.developer.http.delete(path), 403, "AUTHORIZATION_DENIED")
    assert facts(refused) == {"missing_permission": ["features:delete"]}
    stale = await world.manager.http.delete(path, headers={"If-Match": '"old"'})
    check_error(stale, 412, "PRECONDITION_FAILED")
    gone = await world.manager.http.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    check_error(await world.manager.http.delete(path), 404, "RESOURCE_NOT_FOUND")
    assert (await world.developer.get(path)).status_code == 404
    await build_of(world, "3.0.0")
    used = await world.manager.http.delete(f"/features/{world.feature['id']}")
    assert facts(check_error(used, 409, "CONFLICT")) == {"builds": True, "deployments": True}
    assert (await world.developer.get(f"/features/{world.feature['id']}")).status_code == 200


async def test_a_feature_is_deleted_or_deployed_never_both(world):
    body = {"version_tag": "4.0.0", "git_branch": "main", "environment": "dev"}
    for number in range(5):
        feature = await world.developer.made(f"/requirements/{world.requirement['id']}/features", NEW["feature"])
        path = f"/features/{feature['id']}"
        asked = {**body, "version_tag": f"4.0.{number}"}
        deleted, deployed = await asyncio.gather(
            world.manager.http.delete(path), world.manager.post(f"{path}/build-and-deploy", asked)
        )
        there = (await world.developer.get(path)).status_code == 200
        expected = (409, {202}) if there else (204, {404, 409})
        assert deleted.status_code == expected[0], deleted.text
        assert deployed.status_code in expected[1], deployed.text


async def test_a_patch_is_carried_out_once_for_one_key_and_only_on_what_was_seen(admin, world, project, requirement):
    feature = await world.developer.made(f"/requirements/{requirement['id']}/features", NEW["feature"])
    cases = [
        (admin, f"/organizations/{world.org['id']}", {"description": "a"}, {"description": "b"}),
        (admin, f"/projects/{project['id']}", {"description": "a"}, {"description": "b"}),
        (admin, f"/requirements/{requirement['id']}", {"status": "approved"}, {"status": "in_progress"}),
        (admin, f"/features/{feature['id']}", {"description": "a"}, {"description": "b"}),
    ]
    for caller, path, first, second in cases:
        seen = (await caller.get(path)).headers["etag"]
        headers = {"Idempotency-Key": f"once {path}", "If-Match": seen}
        done = await caller.patch(path, first, headers=headers)
        assert done.status_code == 200, done.text
        assert done.headers["etag"] == (await caller.get(path)).headers["etag"] != seen
        await change(caller, path, second)
        again = await caller.patch(path, first, headers=headers)
        assert (again.json(), again.headers["idempotent-replayed"]) == (done.json(), "true")
        check_error(await caller.patch(path, first, headers={"If-Match": seen}), 412, "PRECONDITION_FAILED")
        assert (await caller.get(path)).json()["data"].items() >= second.items()


@pytest.mark.parametrize("letter", ["\U0001f642", "ü"])
async def test_the_longest_names_can_be_stored_sorted_and_walked(world, letter):
    requirements = f"/projects/{world.project['id']}/requirements"
    longest = [number + letter * 399 for number in "123"]
    for title in longest:
        requirement = await world.developer.made(requirements, {**NEW["requirement"], "title": title})
    features = f"/requirements/{requirement['id']}/features"
    for name in longest:
        await world.developer.made(features, {**NEW["feature"], "name": name})
    walked, query = [], "?sort_by=name&sort_order=asc&page_size=1"
    while query:
        page = (await world.developer.get(features + query)).json()
        walked += [row["name"] for row in page["data"]]
        cursor = page["pagination"]["next_cursor"]
        query = f"?page_size=1&cursor={cursor}" if cursor else ""
    assert walked == longest
    too_long = {**NEW["feature"], "name": letter * 401}
    check_error(await world.developer.post(features, too_long), 400, "VALIDATION_ERROR")
