"""`Accept: application/problem+json` gets RFC 9457, wherever the error comes from; other answers do not change."""

import re

import httpx2
import pytest

from api.http.errors import STATUS
from api.http.problem_details import PROBLEM, TITLES
from domain.errors import ErrorCode
from tests.api.conftest import BASE_URL
from tests.api.http.test_errors import MISSING, check_error
from tests.support.facts import facts

WANTED = {"Accept": PROBLEM}


def check_problem(response: httpx2.Response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    assert "accept" in response.headers["vary"].lower()
    problem = response.json()
    assert (problem["status"], problem["code"], problem["title"]) == (status, code, TITLES[ErrorCode(code)])
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["type"] == f"urn:delivery-engine:problem:{code.lower().replace('_', '-')}"
    assert problem["detail"]
    assert "success" not in problem
    return problem


async def test_a_schema_fault_as_a_problem(platform):
    response = await platform.post("/organizations", {"slug": "No Good"}, headers=WANTED)
    problem = check_problem(response, 400, "VALIDATION_ERROR")
    assert problem["instance"] == "/v1/organizations"
    assert {fault["field"] for fault in problem["errors"]} == {"name", "slug"}


async def test_facts_stay_beside_the_problem(world):
    path = f"/features/{world.feature['id']}/status"
    headers = {**WANTED, "If-Match": '"old"'}
    response = await world.developer.patch(path, {"status": "in_progress"}, headers=headers)
    assert facts(check_problem(response, 412, "PRECONDITION_FAILED"))["etag"]


async def test_errors_of_middleware_and_router_are_problems_too(app, platform, monkeypatch):
    http = platform.http
    large = await http.post("/organizations", content=b" " * (1024 * 1024 + 1), headers=WANTED)
    check_problem(large, 413, "PAYLOAD_TOO_LARGE")
    check_problem(await http.post("/organizations", content=b"x", headers=WANTED), 415, "UNSUPPORTED_MEDIA_TYPE")
    check_problem(await http.get("/nowhere", headers=WANTED), 404, "RESOURCE_NOT_FOUND")
    check_problem(await http.get(f"/projects/{MISSING}", headers=WANTED), 404, "RESOURCE_NOT_FOUND")
    check_problem(await http.put("/organizations", headers=WANTED), 405, "METHOD_NOT_ALLOWED")
    check_problem(await http.get(BASE_URL + "/v0/x", headers=WANTED), 410, "RESOURCE_NOT_FOUND")
    monkeypatch.setitem(app.state._state, "parts", None)
    check_problem(await http.get("/organizations", headers=WANTED), 500, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (f"application/json, {PROBLEM}", True),
        (f"{PROBLEM};q=0.5, application/json", False),
        (f"{PROBLEM};q=0", False),
        (f"{PROBLEM} ; q=nonsense", False),
        (f"application/json;q=0.5,{PROBLEM.upper()};q=0.9", True),
        ("*/*", False),
        ("application/*", False),
        ("", False),
    ],
)
async def test_who_gets_a_problem(platform, accept, wanted):
    response = await platform.get("/nowhere", headers={"Accept": accept})
    check = check_problem if wanted else check_error
    check(response, 404, "RESOURCE_NOT_FOUND")


async def test_success_is_enveloped_all_the_same(platform):
    response = await platform.get("/organizations", headers=WANTED)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json()["success"] is True


def test_every_code_that_http_knows_has_one_status_and_one_title():
    assert set(TITLES) == set(STATUS)
    ends_an_operation = list(ErrorCode)[list(ErrorCode).index(ErrorCode.INTERNAL_ERROR) + 1 :]
    assert set(STATUS) | set(ends_an_operation) == set(ErrorCode)
    assert all(re.fullmatch(r"[A-Z_]+", code) for code in ErrorCode)
