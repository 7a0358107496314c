"""What many operations have is said once, under a name: parameters, answers, small schemas.

Generators name what has no name after where they found it, once for each place. Runs last: the steps before it
describe each operation by itself.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from api.openapi.traversal import Json, operations

# Parameters of one name that mean different things, by their descriptions. The others are told apart by their schemas.
MEANINGS: Final[Mapping[str, str]] = {
    "a release that is live there has it": "LiveEnvironment",
    "maximum bytes to return": "MaximumBytes",
    "with follow: continue after this event": "LastLogEventId",
    "respond-async: 202 with the operation (RFC 7240)": "PreferAsync",
}
# Answers that several operations give, by status and the schema they carry, or else their description.
ANSWERS: Final[Mapping[tuple[str, str], str]] = {
    ("200", "BuildPage"): "BuildsListed",
    ("200", "DeliveryMetricsEnvelope"): "DeliveryMetricsMeasured",
    ("200", "DeploymentEnvelope"): "DeploymentDecided",
    ("200", "DeploymentPage"): "DeploymentsListed",
    ("200", "FeatureEnvelope"): "FeatureChanged",
    ("200", "GuardChangeEnvelope"): "GuardChangeDecided",
    ("200", "VulnerabilityPage"): "VulnerabilitiesListed",
    ("201", "IssuedApiKeyEnvelope"): "ApiKeyIssued",
    ("201", "WebhookDeliveryEnvelope"): "WebhookDeliveryMade",
    ("202", "It is kept, and told to the rollout as soon as that answers; the same key asks again"): "DecisionKept",
    ("202", "With `Prefer: respond-async`"): "DeploymentAccepted",
    ("204", "No Content"): "Deleted",
    ("204", "Last-Event-ID is the end of the log: nothing follows"): "EndOfLog",
    ("304", "Not modified"): "NotModified",
}
SUCCESS: Final[Json] = {"type": "boolean", "const": True}
FAILURE: Final[Json] = {"type": "boolean", "const": False}


def name_inline_schemas(document: Json) -> None:
    """Inline schemas of answers become components if they have a title; `success` has a schema for both its values."""
    schemas = document["components"]["schemas"]
    schemas["Success"] = {**SUCCESS, "description": "Of every answer that is no error."}
    schemas["Failure"] = {**FAILURE, "description": "Of every error."}
    for schema in list(schemas.values()):
        success = schema.get("properties", {}).get("success")
        if success is not None:
            schema["properties"]["success"] = _schema("Success" if success.get("const") else "Failure")
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            stream = answer.get("content", {}).get("text/event-stream", {})
            if stream:
                stream["schema"] = _hoisted(stream["schema"], schemas)


def say_optional_bodies(document: Json) -> None:
    """A body that may be left out is one that is not required; that it may be `null` as well needs no word."""
    for _, _, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            kinds = [kind for kind in media["schema"].get("anyOf", ()) if kind.get("type") != "null"]
            if len(kinds) == 1:
                media["schema"] = kinds[0]


def share_parts(document: Json) -> None:
    """Parameters and answers that several operations have are references."""
    components = document["components"]
    told = [item["post"] for item in document["webhooks"].values()]
    found = [operation for _, _, operation in operations(document)]
    places = [operation.get("parameters", []) for operation in found + told]
    components["parameters"] = _share(
        [(place, at) for place in places for at in range(len(place))], "parameters", _parameter_name
    )
    answers = [operation["responses"] for operation in found]
    shared = _share([(place, status) for place in answers for status in place], "responses", _answer_name)
    components["responses"] |= shared
    for kind in ("parameters", "responses"):
        components[kind] = {name: components[kind][name] for name in sorted(components[kind])}


def _share(places: Sequence[tuple[Any, Any]], kind: str, name_of: Callable[[Any, Json], str]) -> Json:
    """Puts a reference wherever the same part with a name stands twice; returns the parts by their names.

    Raises:
        ValueError: two parts would have one name.
    """
    texts = [json.dumps(place[at], sort_keys=True) for place, at in places]
    often = Counter(texts)
    shared: Json = {}
    for (place, at), text in zip(places, texts, strict=True):
        part, name = place[at], name_of(at, place[at])
        if often[text] > 1 and name:
            if shared.setdefault(name, part) != part:
                raise ValueError(f"two {kind} would be called {name}: give one a name in api/openapi/sharing.py")
            place[at] = {"$ref": f"#/components/{kind}/{name}"}
    return shared


def _parameter_name(_: Any, parameter: Json) -> str:
    """`PageSizeQuery`, `OrgIdPath`, `IfMatchHeader`; one that has a named schema is called after it."""
    schema = str(parameter["schema"].get("$ref", "")).rpartition("/")[2]
    said = MEANINGS.get(parameter["description"]) or schema or _pascal(parameter["name"])
    return f"{said}{parameter['in'].title()}"


def _pascal(name: str) -> str:
    return "".join(word[:1].upper() + word[1:].lower() for word in re.split("[-_]", name))


def _answer_name(status: Any, answer: Json) -> str:
    schema = str(answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", ""))
    said = ANSWERS.get((status, schema.rpartition("/")[2])) or ANSWERS.get((status, answer.get("description", "")))
    return said or ""


def _hoisted(schema: Json, schemas: Json) -> Json:
    made = {key: value for key, value in schema.items() if key != "title"}  # routes share what they say
    if "properties" in made:
        made["properties"] = {name: _hoisted(inner, schemas) for name, inner in made["properties"].items()}
    if "title" not in schema:
        return made
    if schemas.setdefault(schema["title"], made) != made:
        raise ValueError(f"two schemas are called {schema['title']}")
    return _schema(schema["title"])


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
