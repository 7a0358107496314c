"""What the contract's blocks say of each endpoint stands in the OpenAPI document: fields, enums, limits, statuses."""

import re

import pytest

from api.openapi.traversal import body_of, parameters_of, target
from tests.contract.later import ENDPOINTS
from tests.contract.parsing import Rule, endpoints

KNOWN = [endpoint for endpoint in endpoints() if endpoint.name not in ENDPOINTS]
TYPES = {
    "string": "string",
    "UUID": "string",
    "integer": "integer",
    "decimal": "number",
    "boolean": "boolean",
    "string[]": "array",
    "object[]": "array",
    "enum": "string",
}
FORMATS = {"url": "http", "semver": r"\."}


def resolved(document, schema):
    """A schema without its reference and its null."""
    found = target(document, schema)
    kinds = [target(document, kind) for kind in found.get("anyOf", [])]
    some = [kind for kind in kinds if kind.get("type") != "null"]
    return {**found, **some[0]} if some else {**found, **{k: v for k, v in schema.items() if k != "$ref"}}


def check(document, rule: Rule, schema) -> None:
    found = resolved(document, schema)
    assert found["type"] == TYPES[rule.kind], rule
    if rule.kind == "UUID":
        assert found["format"] == "uuid", rule
    if rule.enum:
        assert found["enum"] == rule.enum, rule
    if rule.default is not None:
        assert schema["default"] == rule.default, rule
    if rule.pattern:
        assert found["pattern"] == rule.pattern, rule
    check_bounds(rule, found)
    check_items(document, rule, found)


def check_bounds(rule: Rule, found) -> None:
    least, most = {
        "string": ("minLength", "maxLength"),
        "string[]": ("minItems", "maxItems"),
        "integer": ("minimum", "maximum"),
    }.get(rule.kind, ("", ""))
    if rule.bounds[0] is not None:
        assert found[least] == rule.bounds[0], rule
    if rule.bounds[1] is not None:
        assert found[most] == rule.bounds[1], rule


def check_items(document, rule: Rule, found) -> None:
    if rule.kind == "string[]":
        assert resolved(document, found["items"])["type"] == "string", rule
    for inner in rule.inner:
        check(document, inner, resolved(document, found["items"])["properties"][inner.name])


@pytest.mark.parametrize("endpoint", KNOWN, ids=lambda endpoint: endpoint.name)
def test_the_endpoint_is_documented_as_the_contract_has_it(document, endpoint):
    operation = document["paths"][endpoint.path][endpoint.method.lower()]
    for permission in endpoint.permissions[:1]:  # the second one of deploy is for production only
        assert permission in operation["x-permissions"]
    assert bool(operation["security"]) is not endpoint.public
    if operation["security"]:
        assert operation["security"] == [{"BearerAuth": []}, {"ApiKeyAuth": []}]
    assert {str(status) for status in endpoint.statuses} <= operation["responses"].keys()
    for status, code in endpoint.codes.items():
        answer = target(document, operation["responses"][str(status)])
        assert code in answer["content"]["application/json"]["examples"]


@pytest.mark.parametrize(
    ("endpoint", "rule"),
    [pytest.param(one, rule, id=f"{one.name} {rule.name}") for one in KNOWN for rule in one.query],
)
def test_the_parameter_is_documented_as_the_contract_has_it(document, endpoint, rule):
    operation = document["paths"][endpoint.path][endpoint.method.lower()]
    [parameter] = [
        one for one in parameters_of(document, operation) if (one["in"], one["name"]) == ("query", rule.name)
    ]
    assert not parameter["required"]
    check(document, rule, parameter["schema"])


@pytest.mark.parametrize(
    ("endpoint", "rule"),
    [pytest.param(one, rule, id=f"{one.name} {rule.name}") for one in KNOWN for rule in one.body],
)
def test_the_field_is_documented_as_the_contract_has_it(document, endpoint, rule):
    body = target(document, body_of(document["paths"][endpoint.path][endpoint.method.lower()])["schema"])
    assert body["additionalProperties"] is False
    check(document, rule, body["properties"][rule.name])
    if rule.required is not None:
        assert (rule.name in body["required"]) is rule.required
    elif "required" in rule.words:
        assert rule.name not in body["required"], "it depends on other fields"
    if rule.format:
        assert re.search(re.escape(FORMATS[rule.format]), resolved(document, body["properties"][rule.name])["pattern"])


def test_every_endpoint_of_the_contract_is_checked():
    assert len(KNOWN) == 18
    assert len([rule for endpoint in KNOWN for rule in (*endpoint.query, *endpoint.body)]) > 60
