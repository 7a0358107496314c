"""Checks delivery.yaml against the engine's JSON Schema, and says in plain words which key of which line is wrong."""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path as File
from typing import Any, Final

from delivery_cli.repository.places import Document, Fault, Path, read

SCHEMA: Final = File(__file__).parent / "delivery-schema.json"
MOST: Final = 50
TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list, each item on its own line after `- `",
    "object": "keys and values",
    "null": "empty",
}
Json = dict[str, Any]


def check(text: str, procfile: str | None = None) -> list[Fault]:
    """All faults of a delivery.yaml, in the order of its lines; `procfile`: the text of the Procfile beside it."""
    document = read(text)
    if document.faults:
        return document.faults
    if document.value is None:
        document.value = {}
    if not isinstance(document.value, dict):
        document.fault((), "the file must hold keys and values, for example `service:`")
        return document.faults
    from jsonschema import Draft202012Validator

    schema: Json = json.loads(SCHEMA.read_text())
    for error in Draft202012Validator(schema).iter_errors(document.value):
        for path, message in _told(error):
            document.fault(path, message)
    _startable(document, procfile)
    once = dict.fromkeys(document.faults)
    return sorted(once, key=lambda one: (one.line, one.column))[:MOST]


def _startable(document: Document, procfile: str | None) -> None:
    """A service needs a command, here or in a Procfile."""
    service = document.value.get("service")
    has_command = isinstance(service, Mapping) and service.get("command")
    has_web = any(line.startswith("web:") and line[4:].strip() for line in (procfile or "").splitlines())
    if not has_command and not has_web and not any(one.key.startswith("service") for one in document.faults):
        document.fault(("service", "command"), "say how the service is started, or add a Procfile with `web:`")


def _told(error: Any) -> Iterator[tuple[Path, str]]:
    """Where it is, and in what words; an unknown key is told at the key itself."""
    path = tuple(error.absolute_path)
    kind, wanted, given = error.validator, error.validator_value, error.instance
    if kind == "additionalProperties" and isinstance(given, Mapping) and wanted is False:
        known = list(error.schema.get("properties", {}))
        for key in given:
            if key not in known:
                yield (*path, key), _unknown(key, known)
    elif kind in {"anyOf", "oneOf"}:
        yield from _alternatives(error, path)
    elif "propertyNames" in error.absolute_schema_path:
        yield (*path, str(given)), f"unknown name; {_words(kind, wanted, given)}"
    else:
        yield path, _words(kind, wanted, given)


def _alternatives(error: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Of several that it may be, the one that it resembles most."""
    kinds: dict[int, list[Any]] = {}
    for inner in error.context or ():
        kinds.setdefault(inner.schema_path[0], []).append(inner)
    deeper = [
        inner for inner in error.context or () if len(inner.absolute_path) > len(path) or inner.validator != "type"
    ]
    if deeper:
        for inner in deeper[:3]:
            yield from _told(inner)
        return
    names = [
        TYPES.get(str(inner.validator_value), str(inner.validator_value))
        for inners in kinds.values()
        for inner in inners
        if inner.validator == "type" and inner.validator_value != "null"
    ]
    yield path, f"must be {' or '.join(dict.fromkeys(names)) or 'of another kind'}{_quote_hint(names, error.instance)}"


def _unknown(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, 1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; there are: {', '.join(known)}"


def _words(kind: str, wanted: Any, given: Any) -> str:
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(wanted)
    if kind == "type":
        names = [TYPES.get(str(one), str(one)) for one in (wanted if isinstance(wanted, list) else [wanted])]
        return f"must be {' or '.join(names)}{_quote_hint(names, given)}"
    if kind == "enum":
        near = get_close_matches(str(given), [str(one) for one in wanted], 1)
        return f"must be one of {', '.join(map(str, wanted))}" + (f"; did you mean {near[0]}?" if near else "")
    if kind == "required":
        return f"lacks {', '.join(one for one in wanted if not isinstance(given, Mapping) or one not in given)}"
    return f"breaks the rule {kind}: {wanted}"


_BOUNDS: Final = {
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "maxProperties": "must have at most {} keys",
    "uniqueItems": "has an item twice",
    "pattern": "is not of the form {}",
}


def _quote_hint(names: list[str], given: Any) -> str:
    if "text" in names and isinstance(given, bool | int | float):
        written = str(given).lower() if isinstance(given, bool) else given
        return f'; put {written} into quotes: "{written}"'
    return ""
