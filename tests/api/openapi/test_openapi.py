"""The documents: valid, complete, as checked in; served without the internet."""

import json
import re
from collections import Counter
from pathlib import Path

import httpx2
import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from api.openapi import about
from api.openapi.downgrade_3_0 import as_3_0
from api.openapi.files import contents
from api.openapi.responses import ERRORS
from api.openapi.traversal import all_schemas, body_of, operations, parameters_of, schemas, target
from domain.errors import ErrorCode
from tests.api.conftest import BASE_URL

DOCS = Path(__file__).resolve().parents[3] / "docs"
NAMES = ("openapi.json", "openapi-3.0.json", "postman-collection.json")
COMMON = {"401", "403", "429", "500", "503", "504"}


@pytest.fixture(scope="module")
def texts():
    return contents()


@pytest.fixture
async def anybody(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client:
        yield client


@pytest.fixture(scope="module")
def newest(texts):
    return json.loads(texts["openapi.json"])


@pytest.fixture(scope="module")
def older(texts):
    return json.loads(texts["openapi-3.0.json"])


@pytest.fixture(scope="module")
def postman(texts):
    return json.loads(texts["postman-collection.json"])


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_what_the_routes_say(texts, name):
    there = (DOCS / name).read_text() if (DOCS / name).exists() else ""
    assert there == texts[name], f"docs/{name} is not what the routes say any more: run `make openapi` and commit it"


def test_both_documents_are_valid(newest, older):
    assert (newest["openapi"], older["openapi"]) == ("3.1.0", "3.0.3")
    assert [str(fault) for fault in OpenAPIV31SpecValidator(newest).iter_errors()] == []
    assert [str(fault) for fault in OpenAPIV30SpecValidator(older).iter_errors()] == []


def test_both_documents_describe_the_same(newest, older):
    assert {(path, method) for path, method, _ in operations(newest)} == {
        (path, method) for path, method, _ in operations(older)
    }
    text = json.dumps(older["components"]["schemas"]) + json.dumps(older["paths"])
    assert '"type": "null"' not in text
    assert '"const"' not in text
    assert '"prefixItems"' not in text


def test_the_application_serves_what_the_files_say(app, newest):
    assert app.openapi() == newest


async def test_both_documents_are_served(anybody, newest, older):
    assert (await anybody.get("/v1/openapi.json")).json() == newest
    assert (await anybody.get("/v1/openapi-3.0.json")).json() == older


def test_every_operation_is_described(newest):
    found = [operation for _, _, operation in operations(newest)]
    assert len(found) > 50
    assert max(Counter(operation["operationId"] for operation in found).values()) == 1
    for operation in found:
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        assert set(operation["tags"]) <= about.TAGS.keys(), "a new tag needs a line in api/openapi/about.py"
        for parameter in parameters_of(newest, operation):
            assert parameter["description"], (operation["operationId"], parameter["name"])


def test_every_operation_tells_its_errors(newest):
    for path, _, operation in operations(newest):
        statuses = operation["responses"].keys()
        names = {parameter["name"] for parameter in parameters_of(newest, operation)}
        if not operation["security"]:
            continue
        assert statuses >= COMMON, path
        assert "{" not in path or "404" in statuses, path
        assert "Idempotency-Key" not in names or {"409", "422"} <= statuses, path
        assert "If-Match" not in names or "412" in statuses, path
        assert "requestBody" not in operation or {"400", "413", "415"} <= statuses, path


def test_every_error_comes_in_the_envelope_and_as_a_problem(newest):
    for name, _, _ in ERRORS.values():
        answer = newest["components"]["responses"][name]
        assert answer["content"].keys() == {"application/json", "application/problem+json"}, name
        assert "X-Request-ID" in answer["headers"], name


def test_every_error_code_says_its_status_and_what_it_means(newest):
    codes = newest["components"]["schemas"]["ErrorBody"]["x-error-codes"]
    assert codes.keys() == set(ErrorCode)
    for code, told in codes.items():
        assert told["status"] is None or told["status"] in told["statuses"], code
        assert told["statuses"] == [] or set(told["statuses"]) <= {405, *ERRORS}, code
        assert told["meaning"], code
    assert codes["IDEMPOTENCY_IN_PROGRESS"] == {
        "status": 409,
        "statuses": [409],
        "retryable": True,
        "meaning": "The first request with this key is still being worked on",
    }
    assert codes["TIMEOUT"]["statuses"] == [408, 504]
    assert "enum" not in newest["components"]["schemas"]["ErrorBody"]["properties"]["code"]


def test_names_of_schemas_are_of_the_domain_and_not_of_our_modules(newest, older):
    for document in (newest, older):
        for name in document["components"]["schemas"]:
            assert re.fullmatch("[A-Z][A-Za-z]+", name), name
            assert not name.endswith(("View", "Patch")), name


def test_what_many_operations_have_is_said_once(newest):
    """The same parameter, or an answer of a kind that has a name, stands in one place."""
    parts = Counter()
    for _, _, operation in operations(newest):
        found = [*operation.get("parameters", []), *operation["responses"].values()]
        parts.update(json.dumps(part) for part in found if "$ref" not in part)
    twice = [json.loads(part) for part, often in parts.items() if often > 1]
    assert [one for one in twice if "in" in one] == []
    assert all("content" in one for one in twice)


def test_no_schema_of_a_request_an_answer_or_an_event_is_without_a_name(newest):
    """Objects and enums that have none are named by generators, after where they found them."""
    for name, schema in newest["components"]["schemas"].items():
        for _, inner in schemas(schema):
            nameless = {"enum", "properties"} & inner.keys() and inner is not schema
            assert not nameless, name
    for path, method, operation in operations(newest):
        media = [*operation.get("requestBody", {}).get("content", {}).values()]
        for answer in operation["responses"].values():
            media += target(newest, answer).get("content", {}).values()
        for one in media:
            assert not {"enum", "properties", "anyOf"} & one["schema"].keys(), (method, path)


def test_every_body_and_answer_has_an_example(newest):
    for path, method, operation in operations(newest):
        media = [body_of(operation)] if body_of(operation) else []
        for answer in operation["responses"].values():
            media += target(newest, answer).get("content", {}).values()
        assert all({"example", "examples"} & one.keys() for one in media), (path, method)


def examples(document, where=""):
    """Of bodies, answers, headers and parameters, wherever they are; with the schema beside them."""
    if isinstance(document, dict):
        cases = document.get("examples") if isinstance(document.get("schema"), dict) else None
        for case in cases.values() if isinstance(cases, dict) else []:
            yield where, document["schema"], case["value"]
        if isinstance(document.get("schema"), dict) and "example" in document:
            yield where, document["schema"], document["example"]
    for key, part in document.items() if isinstance(document, dict) else enumerate(document):
        if isinstance(part, dict | list) and key not in {"example", "examples", "schema", "schemas"}:
            yield from examples(part, f"{where} {key}")


def test_every_example_fits_its_schema(newest):
    """Spectral asks the same with a rule that takes most of its minute: `make test-deep` has it."""
    tried = Counter()
    for where, schema, value in examples(newest):
        validator = Draft202012Validator({**schema, "components": newest["components"]})
        assert [fault.message for fault in validator.iter_errors(value)] == [], where
        tried.update(set(where.split()) & {"content", "headers", "parameters"})
    assert tried["content"] > 100
    assert tried["headers"] > 0


def test_everything_is_bounded(newest):
    for name, schema in all_schemas(newest):
        if schema.get("type") == "string" and not {"enum", "const"} & schema.keys():
            assert "maxLength" in schema, name
        if schema.get("type") == "array":
            assert "maxItems" in schema, name
        if schema.get("type") == "integer":
            assert {"maximum", "format"} <= schema.keys(), name
        if "pattern" in schema:
            re.compile(schema["pattern"])


def test_the_collection_has_every_operation(newest, postman):
    found = [item for folder in postman["item"] for item in folder["item"]]
    asked = Counter((item["request"]["method"], item["request"]["url"]["raw"]) for item in found)
    wanted = Counter(
        (method.upper(), "{{base_url}}" + re.sub(r"\{(\w+)\}", r":\1", path)) for path, method, _ in operations(newest)
    )
    assert asked == wanted
    assert postman["info"]["schema"].endswith("/v2.1.0/collection.json")
    for item in found:
        assert json.loads(item["request"].get("body", {}).get("raw", "{}")) is not None
        streamed = re.search(r"/(events|export)$", item["request"]["url"]["raw"].partition("?")[0])
        assert item["response"] or item["request"]["method"] == "DELETE" or streamed


def test_3_1_is_said_in_the_words_of_3_0():
    schema = {
        "properties": {
            "a": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
            "b": {"anyOf": [{"$ref": "#/components/schemas/B"}, {"type": "null"}]},
            "c": {"type": ["integer", "null"], "exclusiveMinimum": 0},
            "d": {"const": "x"},
            "e": {"type": "array", "prefixItems": [{"type": "string"}, {"const": 1}]},
            "f": {"$ref": "#/components/schemas/B", "default": "y"},
            "const": {"type": "string"},
        }
    }
    document = {"openapi": "3.1.0", "info": {"summary": "s"}, "components": {"schemas": {"A": schema}}}
    made = as_3_0(document)["components"]["schemas"]["A"]["properties"]
    null = {"type": "string", "nullable": True, "enum": [None]}
    assert made == {
        "a": {"type": "string", "maxLength": 3, "nullable": True},
        "b": {"anyOf": [{"$ref": "#/components/schemas/B"}, null]},
        "c": {"type": "integer", "nullable": True, "minimum": 0, "exclusiveMinimum": True},
        "d": {"enum": ["x"]},
        "e": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"enum": [1]}]}},
        "f": {"allOf": [{"$ref": "#/components/schemas/B"}], "default": "y"},
        "const": {"type": "string"},
    }
    assert list(Draft4Validator({"properties": {"c": made["c"]}}).iter_errors({"c": 0}))
    assert document["components"]["schemas"]["A"] is schema
