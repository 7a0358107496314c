"""Whole answers of the API, from the examples in its document: a strict SDK takes no half of a model."""

import copy
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sdks.generate.description import DOCUMENT, VERBS, resolved

Json = dict[str, Any]

# What every error of the API looks like.
META: Final[Json] = {"timestamp": "2024-10-26T10:30:00Z", "request_id": "req-1", "version": "1.0"}


@cache
def _document() -> Json:
    read: Json = json.loads(DOCUMENT.read_text())
    return read


def sample(verb: str, path: str) -> Json:
    """The example of the first success of an operation: the whole envelope. Empty if the path is not the API's."""
    for route, item in _document()["paths"].items():
        if verb in VERBS and verb in item and _is(route, path):
            return copy.deepcopy(_example(item[verb]))
    return {}


def merged(base: object, over: object) -> Any:
    """`over`, with what it does not say taken from `base`, object by object."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


def _is(route: str, path: str) -> bool:
    parts, given = route.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        part.startswith("{") or part == other for part, other in zip(parts, given, strict=True)
    )


def _example(operation: Json) -> Json:
    for code, response in sorted(operation["responses"].items()):
        content = resolved(_document(), response).get("content", {}).get("application/json", {})
        if code.startswith("2") and content:
            given = content.get("examples", {})
            first = resolved(_document(), next(iter(given.values()))).get("value") if given else None
            found: Json = content.get("example") or first or {}
            return found
    return {}
