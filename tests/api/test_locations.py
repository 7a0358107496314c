"""`Location` of what was made: absolute, and exactly what was answered is there."""

import pytest

from tests.api.bodies import CASE, RESULT
from tests.api.conftest import BASE_URL
from tests.api.test_clients import APPLICATION

WISH = {"title": "More", "description": "d", "acceptance_criteria": ["a"]}
URL = "https://git.example.com/acme/more"
BUILD = {"version_tag": "8.0.0", "git_commit_hash": "abc123def456", "git_branch": "main"}


@pytest.fixture
async def makings(world):
    """Everything that a POST makes with a 201: its address and its body."""
    case = await world.developer.made(f"/features/{world.feature['id']}/tests", CASE)
    build = await world.developer.made(f"/features/{world.feature['id']}/builds", {**BUILD, "version_tag": "8.1.0"})
    return [
        ("/organizations", {"name": "More", "slug": "more"}),
        (f"/organizations/{world.org['id']}/projects", {"name": "More", "slug": "more", "repository_url": URL}),
        (f"/projects/{world.project['id']}/requirements", WISH),
        (f"/requirements/{world.requirement['id']}/features", {"name": "More", "description": "d"}),
        (f"/features/{world.feature['id']}/tests", CASE),
        (f"/testcases/{case['id']}/results", RESULT),
        (f"/features/{world.feature['id']}/builds", BUILD),
        (f"/organizations/{world.org['id']}/invitations", {"email": "more@example.com", "role": "viewer"}),
        (f"/organizations/{world.org['id']}/service-accounts", {"name": "ci", "role": "viewer"}),
        (f"/organizations/{world.org['id']}/clients", APPLICATION),
        (f"/builds/{build['id']}/deploy", {"environment": "dev"}),
    ]


async def test_what_was_made_is_where_it_says(platform, operations, makings):
    for path, body in makings:
        headers = {"Idempotency-Key": path}
        first = await platform.post(path, body, headers=headers)
        again = await platform.post(path, body, headers=headers)
        assert (first.status_code, again.status_code) == (201, 201), (path, first.text)
        assert first.headers["location"].startswith(f"{BASE_URL}/v1/")
        assert again.headers["location"] == first.headers["location"]
        found = await platform.get(first.headers["location"])
        assert found.json()["data"]["id"] == first.json()["data"]["id"]
        assert found.headers["etag"] == first.headers["etag"], path
