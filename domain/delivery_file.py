"""Reads a delivery spec from the texts of a repository's files; a fault names file, line, column and key.

`python -m domain.delivery_file --schema` prints the JSON Schema that is published as `docs/delivery-schema.json`.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from domain.delivery import ENTRY, DeliverySpec
from domain.errors import ErrorCode, TerminalError
from domain.foreign_text import is_storable
from domain.yaml_nodes import MAX_TEXT, Fault, Path, YamlDocument, read_yaml

DELIVERY_FILES = ("delivery.yaml", "delivery.yml")
PROCFILE = "Procfile"
DOCKERFILES = ("Dockerfile", "Containerfile")
SPEC_FILES = (*DELIVERY_FILES, PROCFILE, *DOCKERFILES)
"""The files at a repository's root whose texts `spec_from_files` wants (None for those that are not there)."""

MAX_SPEC_BYTES = MAX_TEXT
SCHEMA_FILE = "docs/delivery-schema.json"
MAX_FAULTS = 50
EXAMPLE = """\
service:
  command: python app.py --port $PORT
  health:
    path: /
"""
_ADDED = re.compile(r"\[key\]|constrained-float|literal\[.*\]")
_PROCESS = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")
_NO_MAPPING = "must hold keys and values"
_NO_NUMBER = "must be a plain number such as 90 or 0.5; text like 1:30 or 5m is none"
_WORDS: Mapping[str, str] = {
    "extra_forbidden": "unknown key; look for a typing mistake, or see docs/delivery.md for the keys there are",
    "model_type": _NO_MAPPING,
    "model_attributes_type": _NO_MAPPING,
    "dict_type": _NO_MAPPING,
    "tuple_type": "must be a list, each item on its own line after `- `",
    "int_parsing": _NO_NUMBER,
    "float_parsing": _NO_NUMBER,
}


def parse_delivery(text: str, *, filename: str = "delivery.yaml") -> DeliverySpec:
    """The spec in a text; `service.command` may be missing.

    Raises:
        TerminalError: SPEC_INVALID with every fault (at most `MAX_FAULTS`) in message and `details["faults"]`.
    """
    return _read(text, filename)[0]


def spec_from_files(files: Mapping[str, str | None]) -> DeliverySpec:
    """The spec of a repository: delivery.yaml, completed from a Procfile, or the Procfile alone.

    Args:
        files: texts by the names in `SPEC_FILES`.

    Raises:
        TerminalError: SPEC_INVALID, or SPEC_MISSING with an example of what to write.
    """
    present = {name: text for name in SPEC_FILES if (text := files.get(name)) is not None}
    filename = next((name for name in DELIVERY_FILES if name in present), None)
    procfile = present.get(PROCFILE)
    web = None if procfile is None else _web_process(procfile)
    if filename is not None:
        spec, document = _read(present[filename], filename)
        if spec.service.command is None and web is None:
            document.fault(("service", "command"), "say how the service is started, or add a Procfile with `web:`")
            _refuse(document.faults, filename)
    elif web is not None:
        spec, filename = DeliverySpec(), PROCFILE
    else:
        _refuse_missing(present)
    return spec if spec.service.command is not None or web is None else _with_command(spec, web)


def _read(text: str, filename: str) -> tuple[DeliverySpec, YamlDocument]:
    document = read_yaml(text)
    value = {} if document.value is None else document.value
    if not document.faults and not isinstance(value, dict):
        document.fault((), "the file must hold keys and values, for example `service:`")
    for path in _unstorable(value):
        document.fault(path, "has a NUL or another character that no program can be given; write it without")
    if document.faults:
        _refuse(document.faults, filename)
    try:
        return DeliverySpec.model_validate(value, context=ENTRY), document
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False):
            path = _path(problem)
            document.fault(path, _wording(problem, document.sources.get(path)))
        _refuse(document.faults, filename)


def _unstorable(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where texts or keys are that neither an environment nor the database can hold."""
    if isinstance(value, str) and not is_storable(value):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from [path] if isinstance(key, str) and not is_storable(key) else _unstorable(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unstorable(inner, (*path, number))


def _path(problem: ErrorDetails) -> Path:
    """Where it is in the file, without what pydantic adds: keys as such, and the alternatives of `pause`."""
    return tuple(part for part in problem["loc"] if not _ADDED.fullmatch(str(part)))


def _wording(problem: ErrorDetails, source: str | None = None) -> str:
    """Pydantic's words, made sense of for people who write YAML; `source`: a value that is no text, as written."""
    match problem["type"]:
        case "string_type" if source is not None:
            return f"must be text; {f'put {source} into quotes' if source else 'write'}: {json.dumps(source)}"
        case kind if kind in _WORDS:
            return _WORDS[kind]
        case _:
            return problem["msg"].removeprefix("Value error, ")


def _web_process(procfile: str) -> tuple[int, str] | None:
    """Line number and command of the first `web:` line."""
    if not is_storable(procfile):
        fault = next(n for n, text in enumerate(procfile.splitlines(), start=1) if not is_storable(text))
        _refuse([Fault(fault, 1, "", "has a NUL character; save the file as plain text in UTF-8")], PROCFILE)
    for number, line in enumerate(procfile.splitlines(), start=1):
        found = _PROCESS.fullmatch(line.strip())
        if found and found[1] == "web":
            return number, found[2]
    return None


def _with_command(spec: DeliverySpec, web: tuple[int, str]) -> DeliverySpec:
    line, command = web
    service = {**spec.service.model_dump(exclude_unset=True), "command": command}
    try:
        return DeliverySpec.model_validate({**spec.model_dump(exclude_unset=True), "service": service}, context=ENTRY)
    except ValidationError as error:
        _refuse([Fault(line, 1, "web", _wording(problem)) for problem in error.errors()], PROCFILE)


def _refuse(faults: list[Fault], filename: str) -> NoReturn:
    """Raise SPEC_INVALID for faults, in the order of the text."""
    ordered = sorted(faults, key=lambda fault: (fault.line, fault.column))
    lines = [
        f"{filename}:{fault.line}:{fault.column}: {fault.key + ': ' if fault.key else ''}{fault.message}"
        for fault in ordered[:MAX_FAULTS]
    ]
    details: list[dict[str, Any]] = [
        {"file": filename, "line": fault.line, "column": fault.column, "key": fault.key, "message": fault.message}
        for fault in ordered[:MAX_FAULTS]
    ]
    raise TerminalError(
        "\n".join(lines),
        code=ErrorCode.SPEC_INVALID,
        details={"file": filename, "faults": details, "fault_count": len(ordered)},
    )


def _refuse_missing(present: Mapping[str, str]) -> NoReturn:
    if PROCFILE in present:
        found = f"the {PROCFILE} has no `web:` line, so it is not known how the service is started"
    elif docker := next((name for name in DOCKERFILES if name in present), None):
        found = (
            f"there is a {docker}, but container builds are not available on this target yet, "
            "and there is no delivery.yaml that says how to build and start the service without one"
        )
    else:
        found = f"there is neither a delivery.yaml nor a {PROCFILE} at the root of the repository"
    raise TerminalError(
        f"{found}. Add a delivery.yaml like this:\n{EXAMPLE}",
        code=ErrorCode.SPEC_MISSING,
        details={"looked_for": list(SPEC_FILES)},
    )


def delivery_schema() -> str:
    """The JSON Schema of delivery.yaml, as the text of `SCHEMA_FILE`."""
    schema = DeliverySpec.model_json_schema()
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "delivery.yaml",
        "description": "How a repository is built, tested and run by the delivery engine.",
    }
    return json.dumps({**schema, **head}, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["--schema"]:
        sys.exit("usage: python -m domain.delivery_file --schema")
    sys.stdout.write(delivery_schema())
