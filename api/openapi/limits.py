"""Bounds of everything: how long strings are, how many items lists have, how large numbers are.

Models bound requests; this module adds the patterns that validators check in code, and the bounds of answers, which
follow from storage limits.
"""

from api.openapi.traversal import Json, all_schemas, body_of, operations, referenced, schemas
from api.schemas.base import MAX_INT, MAX_TEXT, MAX_URL
from domain.image_reference import GRAMMAR

MAX_LONG = 2**53 - 1
FREE = r"^[^\x00]*$"
NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"
SEMVER = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$"
)
# The part of git-check-ref-format(1) that works without lookahead: a valid name may match less than this.
BRANCH = r"^[A-Za-z0-9_][^\x00-\x20\x7f~^:?*\[\\]*$"
PATTERNS = {
    "version_tag": SEMVER,
    "git_commit_hash": "^[0-9a-fA-F]{7,64}$",
    "git_branch": BRANCH,
    "name": NOT_BLANK,
    "title": NOT_BLANK,
    "reason": NOT_BLANK,
    "approval_notes": FREE,
    "repository_url": r"^((https?|ssh|file)://|([\w.-]+@)?[\w.-]+:)[^\s\x00-\x1f\x7f]+$",
    "docker_image_url": f"^{GRAMMAR}$",
    "website_url": r"^https?://[^\s\x00-\x1f]+$",
    "time_zone": "^[A-Za-z0-9_+/-]+$",
}
FORMATS = {"uuid": 36, "date-time": 40, "date": 10, "duration": 64, "uri": MAX_URL, "uri-reference": MAX_URL}
MAX_ITEMS = {"data": 100, "details": 100_000}
MOST_ITEMS = 1000


def set_limits(document: Json) -> None:
    """Set bounds for every schema without any."""
    for schema in _of_requests(document):
        for name, inner in schemas(schema):
            if inner.get("type") == "string" and not {"enum", "const", "format", "pattern"} & inner.keys():
                inner["pattern"] = _pattern(name, inner)
    for name, schema in all_schemas(document):
        _translate(schema)
        kind = schema.get("type")
        if kind == "string":
            _bound_text(schema)
        elif kind == "integer":
            _bound_number(schema, name)
        elif kind == "array":
            schema.setdefault("maxItems", MAX_ITEMS.get(name, MOST_ITEMS))
        elif schema.get("additionalProperties"):
            schema.setdefault("maxProperties", MOST_ITEMS)


def _translate(schema: Json) -> None:
    """Pydantic writes `ge` and `le` literally if one of our validators comes before them."""
    for word, bound in (("ge", "minimum"), ("le", "maximum"), ("gt", "exclusiveMinimum"), ("lt", "exclusiveMaximum")):
        if word in schema:
            value = schema.pop(word)
            for kind in schema.get("anyOf", [schema]):
                if kind.get("type") in {"integer", "number"}:
                    kind[bound] = value


def _of_requests(document: Json) -> list[Json]:
    bodies = [body_of(operation) for _, _, operation in operations(document)]
    return [document["components"]["schemas"][name] for name in sorted(referenced(document, bodies))]


def _pattern(name: str, schema: Json) -> str:
    pattern = PATTERNS.get(name, FREE)
    # "" is a valid reason where reasons are optional
    return FREE if pattern == NOT_BLANK and not schema.get("minLength") else pattern


def _bound_text(schema: Json) -> None:
    if {"enum", "const"} & schema.keys():
        return
    schema.setdefault("maxLength", FORMATS.get(schema.get("format", ""), MAX_TEXT))
    if "format" not in schema:
        schema.setdefault("pattern", FREE)


def _bound_number(schema: Json, name: str) -> None:
    if "exclusiveMinimum" not in schema:
        schema["minimum"] = int(schema.get("minimum", 0))
    large = name.endswith("_bytes") or name == "offset"
    schema["maximum"] = int(schema.get("maximum", MAX_LONG if large else MAX_INT))
    schema["format"] = "int32" if schema["maximum"] <= MAX_INT else "int64"
