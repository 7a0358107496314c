"""The contract's examples for organizations, projects, requirements and features."""

import pytest

from domain.permissions import Role


async def test_create_organization_as_in_the_contract(platform):
    body = {
        "name": "TechStart Inc",
        "slug": "techstart-inc",
        "type": "startup",
        "plan": "professional",
        "max_users": 50,
        "max_projects": 10,
    }
    response = await platform.post("/organizations", body)
    assert response.status_code == 201
    answer = response.json()
    assert answer["success"] is True
    assert answer["status"] == 201
    assert answer["data"].items() >= {**body, "status": "active"}.items()
    assert answer["data"]["created_at"].endswith("Z")
    assert set(answer["meta"]) == {"timestamp", "request_id", "version"}
    again = await platform.post("/organizations", body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "DUPLICATE_SLUG")


async def test_list_organizations_is_paged_filtered_and_sorted(platform, world, other_world):
    response = await platform.get("/organizations?page=1&page_size=1&status=active&sort_by=name&sort_order=asc")
    answer = response.json()
    assert response.status_code == 200
    assert [row["slug"] for row in answer["data"]] == ["acme"]
    total = answer["pagination"]["total"]
    assert answer["pagination"] == answer["pagination"] | {
        "page": 1,
        "page_size": 1,
        "total": total,
        "pages": total,
        "has_next": True,
        "has_prev": False,
    }
    found = (await platform.get("/organizations?search=OTH")).json()["data"]
    assert [row["slug"] for row in found] == ["other"]
    assert (await platform.get("/organizations", params={"search": "%"})).json()["data"] == []
    assert (await platform.get("/organizations?status=suspended")).json()["pagination"]["pages"] == 0
    beyond = await platform.get("/organizations?page=2147483647")
    assert (beyond.status_code, beyond.json()["data"]) == (200, [])
    assert (await platform.get("/organizations?page_size=101")).status_code == 400
    assert (await platform.get("/organizations?sort_by=secret")).status_code == 400


async def test_members_see_their_own_organization_only(world, other_world):
    mine = (await world.developer.get("/organizations")).json()
    assert [row["id"] for row in mine["data"]] == [world.org["id"]]
    assert (await world.developer.get(f"/organizations/{world.org['id']}")).json()["data"]["slug"] == "acme"
    assert (await world.developer.get(f"/organizations/{other_world.org['id']}")).status_code == 403


async def test_plans_and_quotas_are_given_by_platform_admins_alone(caller, world):
    admin = caller(Role.ADMIN, world.org["id"])
    small = {"name": "Mine", "slug": "mine"}
    assert (await admin.post("/organizations", {**small, "plan": "enterprise"})).status_code == 403
    assert (await admin.post("/organizations", {**small, "max_projects": 6})).status_code == 403
    assert (await admin.post("/organizations", small)).status_code == 201
    developer = await world.developer.post("/organizations", {**small, "slug": "mine2"})
    assert developer.status_code == 403
    assert "organizations:write" in developer.json()["error"]["message"]


async def test_create_project_as_in_the_contract(world):
    body = {
        "name": "Frontend Web App",
        "slug": "frontend-web",
        "description": "React-based web application",
        "repository_url": "https://github.com/acme/frontend-web",
        "repository_type": "git",
        "visibility": "private",
        "template_type": "web",
        "tech_stack": ["react", "typescript", "webpack"],
    }
    path = f"/organizations/{world.org['id']}/projects"
    response = await world.developer.post(path, body)
    assert response.status_code == 201
    data = response.json()["data"]
    assert data.items() >= {**body, "status": "active", "organization_id": world.org["id"]}.items()
    assert data["owner_id"] == world.developer.subject
    assert (await world.developer.get(f"/projects/{data['id']}")).json()["data"] == data
    again = await world.developer.post(path, body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "DUPLICATE_SLUG")
    listed = (await world.developer.get(path + "?search=front&sort_by=name")).json()
    assert [row["slug"] for row in listed["data"]] == ["frontend-web"]
    assert (await world.developer.get(path + "?status=archived")).json()["data"] == []


async def test_two_projects_are_two_folders_of_one_repository(platform, caller):
    """`cases/procfile-in-source-path`."""
    org = await platform.made("/organizations", {"name": "Mono", "slug": "mono-repo"})
    developer = caller(Role.DEVELOPER, org["id"])
    path, url = f"/organizations/{org['id']}/projects", "https://example.com/mono"
    made = [
        await developer.made(path, {"name": "Mono", "slug": slug, "repository_url": url, "source_path": folder})
        for slug, folder in (("mono-api", "./apps//api/"), ("mono-web", "apps/web"))
    ]
    assert [project["source_path"] for project in made] == ["apps/api", "apps/web"]
    one = f"/projects/{made[0]['id']}"
    assert (await developer.get(one)).json()["data"]["source_path"] == "apps/api"
    changed = await developer.patch(one, {"source_path": "services/api"})
    assert changed.json()["data"]["source_path"] == "services/api"
    assert (await developer.patch(one, {"name": "More"})).json()["data"]["source_path"] == "services/api"
    whole = await developer.made(path, {"name": "Mono", "slug": "mono", "repository_url": url})
    assert whole["source_path"] == "."


@pytest.mark.parametrize(
    "folder", ["", "/apps", "../apps", "apps/../..", "a\nb", "a\u0000b", "x" * 513, "x" * 256, 7, None, "\u202ea"]
)
async def test_a_source_path_that_is_no_folder_of_a_repository_is_named(world, folder):
    body = {"name": "Odd", "slug": "odd", "repository_url": "https://e.com/r", "source_path": folder}
    for response in (
        await world.developer.post(f"/organizations/{world.org['id']}/projects", body),
        await world.developer.patch(f"/projects/{world.project['id']}", {"source_path": folder}),
    ):
        assert response.status_code == 400, response.text
        assert [fault["field"] for fault in response.json()["error"]["details"]] == ["source_path"]


async def test_slugs_with_one_label_get_hosts_of_their_own(world):
    path = f"/organizations/{world.org['id']}/projects"
    hosts = set()
    for slug in ("l" * 70, "l" * 71, "l" * 72):
        project = await world.developer.made(path, {"name": slug, "slug": slug, "repository_url": "https://e.com/r"})
        view = (await world.developer.get(f"/projects/{project['id']}/environments/dev")).json()["data"]
        hosts.add(view["host"])
        assert all(len(label) <= 63 and label.strip("-") == label for label in view["host"].split("."))
    assert len(hosts) == 3


async def test_the_quota_of_projects_holds(platform, caller):
    org = await platform.made("/organizations", {"name": "Tiny", "slug": "tiny", "max_projects": 1})
    developer = caller(Role.DEVELOPER, org["id"])
    path = f"/organizations/{org['id']}/projects"
    body = {"name": "One", "slug": "one", "repository_url": "https://example.com/one"}
    assert (await developer.post(path, body)).status_code == 201
    full = await developer.post(path, {**body, "slug": "two"})
    assert (full.status_code, full.json()["error"]["code"]) == (403, "QUOTA_EXCEEDED")


async def test_projects_of_unknown_and_foreign_organizations(platform, world, other_world):
    body = {"name": "One", "slug": "one", "repository_url": "https://example.com/one"}
    unknown = "0193b5a0-0000-7000-8000-000000000000"
    assert (await platform.post(f"/organizations/{unknown}/projects", body)).status_code == 404
    assert (await platform.get(f"/organizations/{unknown}/projects")).status_code == 404
    for method in (world.developer.get, lambda path: world.developer.post(path, body)):
        assert (await method(f"/organizations/{other_world.org['id']}/projects")).status_code == 403


async def test_repositories_are_checked_when_a_project_is_made(world):
    path = f"/organizations/{world.org['id']}/projects"
    for url in ("nonsense", "ext::sh -c id", "/srv/repo", "https://user:pw@example.com/x"):
        response = await world.developer.post(path, {"name": "Bad", "slug": "bad", "repository_url": url})
        assert response.status_code == 400, url
        [fault] = response.json()["error"]["details"]
        assert fault["field"] == "repository_url"
        assert "pw" not in fault["message"]


async def test_create_requirement_as_in_the_contract(world):
    body = {
        "title": "User Authentication System",
        "description": "Implement OAuth 2.0 authentication...",
        "user_stories": [
            {
                "title": "User Login",
                "description": "As a user, I want to login...",
                "acceptance_criteria": ["User can enter email and password", "User receives JWT token on success"],
            }
        ],
        "acceptance_criteria": ["OAuth 2.0 implemented", "JWT tokens issued correctly", "Refresh token flow working"],
        "priority": "critical",
        "estimated_effort_points": 13,
    }
    path = f"/projects/{world.project['id']}/requirements"
    response = await world.developer.post(path, body)
    assert response.status_code == 201
    data = response.json()["data"]
    assert data.items() >= {**body, "status": "draft", "created_by": world.developer.subject}.items()
    assert (await world.developer.get(f"/requirements/{data['id']}")).json()["data"] == data
    assert data["id"] in [row["id"] for row in (await world.developer.get(path)).json()["data"]]


async def test_create_feature_as_in_the_contract_and_move_it(world):
    body = {
        "name": "OAuth 2.0 Integration",
        "description": "Implement OAuth 2.0 provider integration",
        "complexity_points": 8,
        "implementation_notes": "Use python-social-auth library",
    }
    path = f"/requirements/{world.requirement['id']}/features"
    response = await world.developer.post(path, body)
    assert response.status_code == 201
    data = response.json()["data"]
    assert data.items() >= {**body, "implementation_status": "not_started"}.items()
    moved = await world.developer.patch(f"/features/{data['id']}/status", {"status": "in_progress"})
    assert (moved.status_code, moved.json()["data"]["implementation_status"]) == (200, "in_progress")
    silent = await world.developer.patch(f"/features/{data['id']}/status", {"status": "blocked"})
    assert silent.status_code == 400
    assert silent.json()["error"]["details"][0]["field"] == "blocked_reason"
    reason = {"status": "blocked", "blocked_reason": "waits for legal"}
    assert (await world.developer.patch(f"/features/{data['id']}/status", reason)).status_code == 200
    read = (await world.developer.get(f"/features/{data['id']}")).json()["data"]
    assert read["blocked_reason"] == "waits for legal"
    assert data["id"] in [row["id"] for row in (await world.developer.get(path)).json()["data"]]
