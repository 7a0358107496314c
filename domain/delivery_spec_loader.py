"""Reads a delivery spec from the texts of a repository's files; a fault names file, line, column and key.

`python -m domain.delivery_spec_loader --schema` prints the JSON Schema published as `docs/delivery-schema.json`.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from domain.delivery_spec import ENTRY, MAX_TYPE_NAME, MAX_TYPES, DeliverySpec
from domain.errors import ErrorCode, TerminalError
from domain.foreign_text import is_storable
from domain.procfile import RELEASE, WEB, ProcessType, beside, default_count, read_procfile
from domain.words import words_of
from domain.yaml_nodes import MAX_TEXT, Fault, Path, YamlDocument, read_yaml

DELIVERY_FILES = ("delivery.yaml", "delivery.yml")
PROCFILE = "Procfile"
DOCKERFILES = ("Dockerfile", "Containerfile")
SPEC_FILES = (*DELIVERY_FILES, PROCFILE, *DOCKERFILES)
"""The files of a project's folder whose texts `spec_from_files` wants (None for those that are not there)."""

MAX_SPEC_BYTES = MAX_TEXT
SCHEMA_FILE = "docs/delivery-schema.json"
MAX_FAULTS = 50
EXAMPLE = """\
service:
  command: python app.py --port $PORT
  health:
    path: /
"""
_ADDED = re.compile(r"\[key\]|\[one\]|\[several\]|constrained-float|literal\[.*\]")
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


def spec_from_files(
    files: Mapping[str, str | None], folder: str = ".", procfile_folder: str | None = None
) -> DeliverySpec:
    """The spec of a project: delivery.yaml, completed from a Procfile, or the Procfile alone.

    Args:
        files: texts by the names in `SPEC_FILES`.
        folder: of the repository, where the files are, for the words of faults.
        procfile_folder: where the Procfile is; None: in the same folder.

    Raises:
        TerminalError: SPEC_INVALID, or SPEC_MISSING with an example of what to write.
    """
    present = {name: text for name in SPEC_FILES if (text := files.get(name)) is not None}
    name = _delivery_file(present)
    procfile = present.get(PROCFILE)
    types = {} if procfile is None else _types(procfile, _in(procfile_folder or folder, PROCFILE))
    if name is not None:
        spec, document = _read(present[name], _in(folder, name))
        if spec.service.command is None and WEB not in types:
            document.fault(("service", "command"), "say how the service is started, or add a Procfile with `web:`")
        for key, words in _nameless(spec, types):
            document.fault(key, words)
        if document.faults:
            _refuse(document.faults, _in(folder, name))
    elif WEB in types:
        spec = DeliverySpec()
    else:
        _refuse_missing(present, types, folder)
    return _completed(spec, types, _in(procfile_folder or folder, PROCFILE))


def service_folder(files: Mapping[str, str | None], folder: str = ".") -> str:
    """`source.path` of the delivery.yaml among the files, `.` without one: a Procfile may be there, too.

    Raises:
        TerminalError: SPEC_INVALID.
    """
    present = {name: text for name in DELIVERY_FILES if (text := files.get(name)) is not None}
    name = _delivery_file(present)
    return "." if name is None else _read(present[name], _in(folder, name))[0].source.path


def _delivery_file(present: Mapping[str, str]) -> str | None:
    return next((name for name in DELIVERY_FILES if name in present), None)


def _in(folder: str, name: str) -> str:
    """A file's path in the repository, as people write it."""
    return str(PurePosixPath(folder, name))


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
        return DeliverySpec.model_validate(value, context=ENTRY, extra="forbid"), document
    except ValidationError as error:
        for problem in error.errors(include_url=False):
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
    """Where it is in the file, without what pydantic adds: keys as such, and alternatives."""
    return tuple(part for part in problem["loc"] if not _ADDED.fullmatch(str(part)))


def _wording(problem: ErrorDetails, source: str | None = None) -> str:
    """Pydantic's words, made sense of for people who write YAML; `source`: a value that is no text, as written."""
    match problem["type"]:
        case "string_type" if source is not None:
            return f"must be text; {f'put {source} into quotes' if source else 'write'}: {json.dumps(source)}"
        case kind if kind in _WORDS:
            return _WORDS[kind]
        case _:
            return words_of(problem)


def _types(procfile: str, filename: str) -> dict[str, ProcessType]:
    if not is_storable(procfile):
        fault = next(n for n, text in enumerate(procfile.splitlines(), start=1) if not is_storable(text))
        _refuse([Fault(fault, 1, "", "has a NUL character; save the file as plain text in UTF-8")], filename)
    return read_procfile(procfile)


def _completed(spec: DeliverySpec, types: Mapping[str, ProcessType], filename: str) -> DeliverySpec:
    """The spec with those commands of a Procfile that delivery.yaml does not give."""
    for name, section, known in ((WEB, "service", spec.service), (RELEASE, "release", spec.release)):
        if name in types and known.command is None:
            values = {**known.model_dump(exclude_unset=True), "command": types[name].command}
            try:
                spec = _with(spec, section, values)
            except ValidationError as error:
                _refuse([Fault(types[name].line, 1, name, _wording(each)) for each in error.errors()], filename)
    return _with_processes(spec, beside(types), filename)


def _with_processes(spec: DeliverySpec, types: Mapping[str, ProcessType], filename: str) -> DeliverySpec:
    """The spec with the types that run beside the service."""
    found = {name: each.model_dump(exclude_unset=True, exclude_none=True) for name, each in spec.processes.items()}
    for name, each in types.items():
        found[name] = {"count": default_count(name), "command": each.command} | found.get(name, {})
        if len(found) > MAX_TYPES:
            words = (
                f"there may be {MAX_TYPES} process types beside web and release, and this is one more; leave some out"
            )
            _refuse([Fault(each.line, 1, name[:MAX_TYPE_NAME], words)], filename)
    try:
        return _with(spec, "processes", found) if types else spec
    except ValidationError as error:
        faults = [(str(fault["loc"][1]), _wording(fault)) for fault in error.errors()]
        _refuse([Fault(types[name].line, 1, name[:MAX_TYPE_NAME], words) for name, words in faults], filename)


def _nameless(spec: DeliverySpec, types: Mapping[str, ProcessType]) -> Iterator[tuple[Path, str]]:
    """Where delivery.yaml speaks of a process type that has no command anywhere: it is mistyped, as a rule."""
    for name, each in spec.processes.items():
        if each.command is None and name not in types:
            yield ("processes", name), "no such line in a Procfile; look for a typing mistake, or give its command here"
    for environment, over in spec.environments.items():
        for name in sorted(over.processes.keys() - spec.processes.keys() - types.keys()):
            where = ("environments", str(environment), "processes", name)
            yield where, "no such process type in delivery.yaml or a Procfile; look for a typing mistake"


def _with(spec: DeliverySpec, section: str, values: Mapping[str, Any]) -> DeliverySpec:
    return DeliverySpec.model_validate({**spec.model_dump(exclude_unset=True), section: values}, context=ENTRY)


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


def _refuse_missing(present: Mapping[str, str], types: Mapping[str, ProcessType], folder: str) -> NoReturn:
    if PROCFILE in present:
        others = f" (it has {', '.join(f'`{name[:64]}:`' for name in list(types)[:10])})" if types else ""
        found = f"the {_in(folder, PROCFILE)} has no `web:` line{others}, so it is not known how the service is started"
    elif docker := next((name for name in DOCKERFILES if name in present), None):
        found = (
            f"there is a {_in(folder, docker)}, but container builds are not available on this target yet, "
            "and there is no delivery.yaml that says how to build and start the service without one"
        )
    else:
        where = "at the root of the repository" if folder == "." else f"in the project's source_path {folder!r}"
        found = f"there is neither a delivery.yaml nor a {PROCFILE} {where}"
    raise TerminalError(
        f"{found}. Add a delivery.yaml like this:\n{EXAMPLE}",
        code=ErrorCode.SPEC_MISSING,
        details={"looked_for": [_in(folder, name) for name in SPEC_FILES]},
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
        sys.exit("usage: python -m domain.delivery_spec_loader --schema")
    sys.stdout.write(delivery_schema())
