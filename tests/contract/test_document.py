"""The rest of the contract: envelopes, tokens, scopes, codes, the OpenAPI head, and what is to come later."""

import re

import jwt
import pytest
import yaml

from api.http.errors import CODE_OF_STATUS, STATUS
from api.openapi.responses import ERRORS
from domain.errors import ConflictError, DependencyError, ErrorCode
from domain.permissions import Role, Scope
from tests.contract.comparing import differences
from tests.contract.later import ENDPOINTS, LATER
from tests.contract.parsing import block_after, endpoints, json_after

# 502 is given by a proxy before us, not by us.
NOT_OURS = {"502"}


async def test_answers_have_the_standard_envelope(world):
    answer = (await world.developer.get(f"/projects/{world.project['id']}")).json()
    expected = json_after("Standard Response Structure")
    assert differences({**expected, "meta": {}}, answer) == []
    assert answer["meta"].keys() >= expected["meta"].keys()
    assert answer["meta"]["version"] == expected["meta"]["version"]


async def test_pages_have_the_pagination_of_the_contract(platform, world, other_world):
    answer = (await platform.get("/organizations?page=1&page_size=1")).json()
    expected = json_after("Paginated Response")
    assert answer.keys() >= expected.keys()
    assert answer["pagination"].keys() >= expected["pagination"].keys()
    kinds = {key: type(value) for key, value in expected["pagination"].items()}
    assert {key: type(answer["pagination"][key]) for key in kinds} == kinds
    assert answer["meta"].keys() >= expected["meta"].keys()


async def test_errors_have_the_envelope_of_the_contract(world):
    expected = json_after("Error Response")
    answer = await world.developer.post(f"/projects/{world.project['id']}/requirements", {"title": "x"})
    body = answer.json()
    assert answer.status_code == expected["status"]
    assert differences({**expected, "error": {**expected["error"], "details": []}, "meta": {}}, body) == []
    for fault in body["error"]["details"]:
        assert fault.keys() >= expected["error"]["details"][0].keys()
    assert {fault["field"] for fault in body["error"]["details"]} >= {"title", "description"}


def test_tokens_have_the_claims_of_the_contract(world):
    claims = jwt.decode(world.developer.token, options={"verify_signature": False})
    expected = json_after("JWT Token Format")
    assert claims.keys() >= expected.keys()
    assert {key: type(claims[key]) for key in expected} == {key: type(value) for key, value in expected.items()}
    assert expected["role"] in set(Role)


def test_every_scope_of_the_contract_is_known():
    found = set(re.findall(r"- (\w+:\w+)", block_after("Authorization Scopes")))
    assert len(found) == 19
    assert found <= set(Scope)


def test_every_error_code_of_the_contract_has_its_status():
    found = yaml.safe_load(block_after("Application Error Codes"))["Error Codes"]
    assert len(found) == 8
    families = {
        ErrorCode.DUPLICATE_RESOURCE: (ConflictError, 409),
        ErrorCode.SERVICE_UNAVAILABLE: (DependencyError, 503),
    }
    for name, told in found.items():
        code = ErrorCode(name)
        assert STATUS.get(code, families.get(code, (None, 0))[1]) == told["http_status"], name


def test_every_error_status_of_the_contract_is_documented():
    found = set(re.findall(r"^  ([45]\d\d):", block_after("Standard HTTP Status Codes"), re.MULTILINE)) - NOT_OURS
    assert found <= {str(status) for status in ERRORS}
    assert CODE_OF_STATUS[422] is ErrorCode.UNPROCESSABLE


def test_the_openapi_document_begins_as_the_contract_has_it(document):
    expected = yaml.safe_load(block_after("OpenAPI Specification"))
    info = document["info"]
    assert (info["title"], info["version"]) == (expected["info"]["title"], expected["info"]["version"])
    assert info["description"].startswith(expected["info"]["description"])
    assert info["contact"] == expected["info"]["contact"]
    told = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert told.items() >= {tag["name"]: tag["description"] for tag in expected["tags"]}.items()
    for name, scheme in expected["components"]["securitySchemes"].items():
        assert document["components"]["securitySchemes"][name].items() >= scheme.items()
    served = [server["url"].format(host="api.example.com") for server in document["servers"]]
    assert {server["url"] for server in expected["servers"]} <= set(served)


@pytest.mark.parametrize("later", LATER, ids=lambda later: later.what)
async def test_what_belongs_to_a_later_issue_does_not_exist_yet(document, world, later):
    headers = (await world.developer.get(f"/projects/{world.project['id']}")).headers
    assert not later.exists(document, headers), f"{later.what} is there: test it, and take it out of later.py"


def test_the_endpoints_that_come_later_are_endpoints_of_the_contract():
    assert {endpoint.name for endpoint in endpoints()} >= ENDPOINTS
