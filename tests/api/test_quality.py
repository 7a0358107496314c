"""Test cases and test results: the contract's examples, and what is refused."""

import json

import pytest

from domain.permissions import Role
from domain.testing import MAX_LOG_BYTES
from tests.api.http.test_errors import check_error
from tests.support.facts import facts

MISSING = "0193b5a0-0000-7000-8000-000000000000"
CASE = {
    "name": "OAuth Login Flow",
    "description": "Test complete OAuth login process",
    "test_type": "e2e",
    "priority": "critical",
    "steps": [
        {"step_number": 1, "action": "Navigate to login page", "expected_result": "Login form displayed"},
        {"step_number": 2, "action": "Click OAuth button", "expected_result": "Redirected to OAuth provider"},
        {"step_number": 3, "action": "Authenticate and authorize", "expected_result": "Redirected back with token"},
    ],
    "expected_result": "User logged in successfully",
    "automated": True,
    "automation_tool": "cypress",
    "automation_script_path": "tests/e2e/oauth-login.cy.js",
}
RESULT = {
    "status": "passed",
    "duration_ms": 1250,
    "assertions_run": 5,
    "assertions_passed": 5,
    "assertions_failed": 0,
    "code_coverage_percent": 92.5,
}


def steps(*numbers):
    return [{"step_number": number, "action": "do", "expected_result": "done"} for number in numbers]


@pytest.fixture(scope="module")
def cases(world):
    return f"/features/{world.feature['id']}/tests"


@pytest.fixture
async def case(world, cases):
    return await world.developer.made(cases, CASE)


async def test_create_test_case_as_in_the_contract(world, cases):
    response = await world.developer.post(cases, CASE)
    assert response.status_code == 201
    data = response.json()["data"]
    assert data.items() >= {**CASE, "feature_id": world.feature["id"], "created_by": world.developer.subject}.items()
    read = await world.developer.get(f"/testcases/{data['id']}")
    assert read.json()["data"] == data
    assert read.headers["etag"] == response.headers["etag"]
    assert data["id"] in [row["id"] for row in (await world.developer.get(cases)).json()["data"]]


async def test_what_may_be_left_out_is_null_or_false(world, cases):
    names = ("name", "description", "steps", "expected_result")
    data = await world.developer.made(cases, {name: CASE[name] for name in names})
    assert (data["test_type"], data["priority"], data["automation_tool"], data["automated"]) == (
        None,
        None,
        None,
        False,
    )
    for name in names:
        missing = {field: value for field, value in CASE.items() if field != name}
        refused = check_error(await world.developer.post(cases, missing), 400, "VALIDATION_ERROR")
        assert [fault["field"] for fault in refused["details"]] == [name]


async def test_bad_test_cases_are_400(world, cases):
    bad = {
        "name": "ab",
        "test_type": "manual",
        "priority": "urgent",
        "steps": [],
        "automated": "yes",
        "colour": "red",
        "expected_result": None,
    }
    for field, value in bad.items():
        refused = check_error(await world.developer.post(cases, {**CASE, field: value}), 400, "VALIDATION_ERROR")
        assert refused["details"][0]["field"] == field
    incomplete = {**CASE, "steps": [{"step_number": 1, "action": "do"}]}
    refused = check_error(await world.developer.post(cases, incomplete), 400, "VALIDATION_ERROR")
    assert refused["details"][0]["pointer"] == "/steps/0/expected_result"


async def test_steps_are_numbered_from_1_upwards(world, cases, case):
    wrong = {(2, 3): 0, (1, 1): 1, (1, 3, 2): 2, (1, 2, 2): 2}
    for numbers, index in wrong.items():
        for ask in (
            world.developer.post(cases, {**CASE, "steps": steps(*numbers)}),
            world.developer.patch(f"/testcases/{case['id']}", {"steps": steps(*numbers)}),
        ):
            refused = check_error(await ask, 422, "UNPROCESSABLE")
            assert list(facts(refused)) == [f"steps.{index}.step_number"]
    for numbers in ((0, 1), (1, 2.5), (True, 2), ("1",)):
        check_error(await world.developer.post(cases, {**CASE, "steps": steps(*numbers)}), 400, "VALIDATION_ERROR")
    for numbers in ((1,), (1, 2, 3), (1, 5, 7)):
        made = await world.developer.made(cases, {**CASE, "steps": steps(*numbers)})
        assert [step["step_number"] for step in made["steps"]] == list(numbers)


async def test_everything_a_test_case_says_can_change_and_its_results_stay(world, case):
    path = f"/testcases/{case['id']}"
    result = await world.developer.made(f"{path}/results", RESULT)
    body = {
        "name": "OAuth",
        "description": "Shorter",
        "test_type": "security",
        "priority": "low",
        "steps": steps(1, 2),
        "expected_result": "In",
        "automated": False,
        "automation_tool": None,
        "automation_script_path": None,
    }
    etag = (await world.developer.get(path)).headers["etag"]
    headers = {"If-Match": etag, "Idempotency-Key": f"change {case['id']}"}
    changed = await world.developer.patch(path, body, headers=headers)
    assert changed.status_code == 200
    data = changed.json()["data"]
    assert data.items() >= body.items()
    assert data["created_by"] == case["created_by"]
    assert (await world.developer.get(path)).json()["data"] == data
    replayed = await world.developer.patch(path, body, headers=headers)
    assert (replayed.json(), replayed.headers["idempotent-replayed"]) == (changed.json(), "true")
    check_error(await world.developer.patch(path, body, headers={"If-Match": etag}), 412, "PRECONDITION_FAILED")
    for bad in ({}, {"name": None}, {"steps": []}, {"steps": None}, {"feature_id": MISSING}):
        check_error(await world.developer.patch(path, bad), 400, "VALIDATION_ERROR")
    assert (await world.developer.get(f"{path}/results/{result['id']}")).json()["data"] == result


async def test_test_cases_are_filtered_searched_and_sorted(world):
    path = f"/requirements/{world.requirement['id']}/features"
    feature = await world.developer.made(path, {"name": "Listed", "description": "d"})
    cases = f"/features/{feature['id']}/tests"
    for name, kind in (("Beta", "unit"), ("Alpha", "e2e"), ("Gamma", "unit")):
        await world.developer.made(
            cases, {**CASE, "name": name, "test_type": kind, "priority": "low" if kind == "e2e" else None}
        )
    expected = {
        "": ["Gamma", "Alpha", "Beta"],
        "sort_by=name&sort_order=asc": ["Alpha", "Beta", "Gamma"],
        "test_type=unit": ["Gamma", "Beta"],
        "priority=low": ["Alpha"],
        "search=alp": ["Alpha"],
        "page=2&page_size=2": ["Beta"],
    }
    for query, names in expected.items():
        assert [row["name"] for row in (await world.developer.get(f"{cases}?{query}")).json()["data"]] == names, query
    check_error(await world.developer.get(f"{cases}?test_type=manual"), 400, "VALIDATION_ERROR")


async def test_record_test_result_as_in_the_contract(world, case):
    path = f"/testcases/{case['id']}/results"
    response = await world.developer.post(path, RESULT)
    assert response.status_code == 201
    assert '"code_coverage_percent":92.5' in response.text
    data = response.json()["data"]
    assert data.items() >= {**RESULT, "test_case_id": case["id"], "error_message": None, "logs": []}.items()
    assert data["executed_at"] == data["created_at"]
    assert data["executed_at"].endswith("Z")
    read = await world.developer.get(f"{path}/{data['id']}")
    assert (read.json()["data"], read.headers["etag"]) == (data, response.headers["etag"])
    logs = [{"level": "error", "text": "höchst 🙂", "at": [1, 2.5, None, True, {"deep": "\\u0000"}, 1e300]}, {}]
    failed = {**RESULT, "status": "failed", "assertions_passed": 3, "assertions_failed": 2, "logs": logs}
    failed |= {"error_message": "expected 200, got 500", "code_coverage_percent": None}
    made = await world.developer.made(path, failed)
    assert made.items() >= failed.items()
    assert len((await world.developer.get(f"{path}/{made['id']}")).content) < 1000
    listed = (await world.developer.get(path)).json()
    assert [row["status"] for row in listed["data"]] == ["failed", "passed"]
    assert listed["pagination"]["total"] == 2
    assert [row["id"] for row in (await world.developer.get(f"{path}?status=passed")).json()["data"]] == [data["id"]]
    check_error(await world.developer.get(f"{path}?status=good"), 400, "VALIDATION_ERROR")


async def test_bad_results_are_400(world, case):
    path = f"/testcases/{case['id']}/results"
    bad = [
        ("status", "good"),
        ("duration_ms", -1),
        ("duration_ms", 1.5),
        ("duration_ms", True),
        ("duration_ms", 2**31),
        ("assertions_run", -1),
        ("assertions_passed", None),
        ("code_coverage_percent", 100.01),
        ("code_coverage_percent", -0.1),
        ("code_coverage_percent", "92.5"),
        ("code_coverage_percent", False),
        ("error_message", "NUL \x00"),
        ("logs", {}),
        ("logs", [{}] * 101),
        ("executed_at", "2024-10-26T10:30:00Z"),
    ]
    for field, value in bad:
        refused = check_error(await world.developer.post(path, {**RESULT, field: value}), 400, "VALIDATION_ERROR")
        assert refused["details"][0]["field"] == field, (field, value)
    for entry in (
        "text",
        {"text": "NUL \x00"},
        {"\x00": 1},
        {"text": "\ud800"},
        {"deep": json.loads("[" * 30 + "]" * 30)},
    ):
        content = json.dumps({**RESULT, "logs": [entry]})
        refused = await world.developer.http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert check_error(refused, 400, "VALIDATION_ERROR")["details"][0]["field"].startswith("logs.0"), entry
    for text in ("1e999", "NaN", "-Infinity"):
        for field in ('"code_coverage_percent": {}', '"logs": [{{"number": {}}}]'):
            rest = json.dumps({name: value for name, value in RESULT.items() if name != "code_coverage_percent"})
            content = rest[:-1] + ", " + field.format(text) + "}"
            refused = await world.developer.http.post(
                path, content=content, headers={"Content-Type": "application/json"}
            )
            check_error(refused, 400, "VALIDATION_ERROR")
    assert (await world.developer.get(path)).json()["pagination"]["total"] == 0


async def test_the_ends_of_what_is_possible_are_possible(world, case):
    path = f"/testcases/{case['id']}/results"
    for coverage in (0, 100, 0.1, 33.333333333333336):
        made = await world.developer.made(path, {**RESULT, "code_coverage_percent": coverage, "duration_ms": 2**31 - 1})
        assert made["code_coverage_percent"] == coverage
    most = [{"x": "y" * (MAX_LOG_BYTES - len('[{"x":""}]'))}]
    assert (await world.developer.made(path, {**RESULT, "logs": most}))["logs"] == most
    assert len((await world.developer.made(path, {**RESULT, "logs": [{}] * 100}))["logs"]) == 100


async def test_assertions_that_were_run_passed_or_failed(world, case):
    path = f"/testcases/{case['id']}/results"
    refused = check_error(await world.developer.post(path, {**RESULT, "assertions_failed": 1}), 422, "UNPROCESSABLE")
    assert facts(refused) == {"assertions_run": refused["message"], "given": 5, "expected": 6}
    assert "5 passed and 1 failed" in refused["message"]


async def test_what_passed_has_no_failed_assertions(world, case):
    path = f"/testcases/{case['id']}/results"
    body = {**RESULT, "status": "passed", "assertions_passed": 3, "assertions_failed": 2}
    refused = check_error(await world.developer.post(path, body), 422, "UNPROCESSABLE")
    assert facts(refused) == {"status": refused["message"], "given": "passed", "assertions_failed": 2}


async def test_logs_that_are_too_long_are_413(world, case):
    path = f"/testcases/{case['id']}/results"
    long = [{"x": "y" * 700} for _ in range(99)]
    refused = check_error(await world.developer.post(path, {**RESULT, "logs": long}), 413, "PAYLOAD_TOO_LARGE")
    assert facts(refused)["max_bytes"] == MAX_LOG_BYTES
    umlauts = [{"x": "ü" * 40_000}]
    check_error(await world.developer.post(path, {**RESULT, "logs": umlauts}), 413, "PAYLOAD_TOO_LARGE")
    assert (await world.developer.get(path)).json()["pagination"]["total"] == 0


async def test_one_key_records_one_result(world, case):
    path = f"/testcases/{case['id']}/results"
    headers = {"Idempotency-Key": f"result {case['id']}"}
    first = await world.developer.post(path, RESULT, headers=headers)
    assert (await world.developer.post(path, RESULT, headers=headers)).json() == first.json()
    assert (await world.developer.get(path)).json()["pagination"]["total"] == 1


async def test_a_deleted_test_case_takes_its_results_along(world, case):
    path = f"/testcases/{case['id']}"
    result = await world.developer.made(f"{path}/results", RESULT)
    check_error(await world.developer.http.delete(path, headers={"If-Match": '"old"'}), 412, "PRECONDITION_FAILED")
    gone = await world.developer.http.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for there in (path, f"{path}/results", f"{path}/results/{result['id']}"):
        check_error(await world.developer.get(there), 404, "RESOURCE_NOT_FOUND")
    check_error(await world.developer.http.delete(path), 404, "RESOURCE_NOT_FOUND")


async def test_a_deleted_feature_takes_its_test_cases_along(world):
    path = f"/requirements/{world.requirement['id']}/features"
    feature = await world.developer.made(path, {"name": "Short-lived", "description": "d"})
    case = await world.developer.made(f"/features/{feature['id']}/tests", CASE)
    await world.developer.made(f"/testcases/{case['id']}/results", RESULT)
    assert (await world.manager.http.delete(f"/features/{feature['id']}")).status_code == 204
    check_error(await world.developer.get(f"/testcases/{case['id']}"), 404, "RESOURCE_NOT_FOUND")


async def test_permissions_of_tests_are_their_own(caller, world, cases, case):
    path = f"/testcases/{case['id']}"
    viewer = caller(Role.VIEWER, world.org["id"])
    assert (await viewer.get(path)).status_code == 200
    asked = [viewer.post(cases, CASE), viewer.patch(path, {"name": "Mine"}), viewer.http.delete(path)]
    asked.append(viewer.post(f"{path}/results", RESULT))
    for response in asked:
        refused = check_error(await response, 403, "AUTHORIZATION_DENIED")
        assert facts(refused) == {"missing_permission": ["tests:write"]}
    blind = caller(Role.DEVELOPER, world.org["id"], cut={"tests:read"})
    for there in (path, cases, f"{path}/results", f"{path}/results/{MISSING}"):
        check_error(await blind.get(there), 403, "AUTHORIZATION_DENIED")


async def test_a_result_is_found_under_its_own_test_case_only(world, cases, case):
    other = await world.developer.made(cases, CASE)
    result = await world.developer.made(f"/testcases/{case['id']}/results", RESULT)
    check_error(
        await world.developer.get(f"/testcases/{other['id']}/results/{result['id']}"), 404, "RESOURCE_NOT_FOUND"
    )
    for there in (f"/features/{MISSING}/tests", f"/testcases/{MISSING}/results"):
        check_error(await world.developer.get(there), 404, "RESOURCE_NOT_FOUND")
        body = CASE if there.endswith("tests") else RESULT
        check_error(await world.developer.post(there, body), 404, "RESOURCE_NOT_FOUND")
    check_error(await world.developer.get("/testcases/not-an-id"), 404, "RESOURCE_NOT_FOUND")
