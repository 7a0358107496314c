"""Procfiles: one process type a line, `web: command`.

As on Heroku, `web` is the service and `release` the command of the release phase; all other types are not started
unless somebody scales them up, which is not possible here (docs/adr/0028-process-types.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

WEB = "web"
RELEASE = "release"
RUN_HERE = frozenset({WEB, RELEASE})
MAX_NAMED = 10
_MAX_NAME = 64
_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


@dataclass(frozen=True)
class ProcessType:
    """Where in the file it stands, from 1, and its command."""

    line: int
    command: str


def read_procfile(text: str) -> dict[str, ProcessType]:
    """The process types by name, in the order of the file; of several lines for one name the first counts."""
    found: dict[str, ProcessType] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        matched = _LINE.fullmatch(line.strip())
        if matched:
            found.setdefault(matched[1], ProcessType(number, matched[2]))
    return found


def not_started(types: Mapping[str, ProcessType]) -> str | None:
    """What people are told of the types that are not started; None: there are none."""
    others = [name for name in types if name not in RUN_HERE]
    if not others:
        return None
    more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
    names = ", ".join(f"`{name[:_MAX_NAME]}` (line {types[name].line})" for name in others[:MAX_NAMED])
    return (
        f"not started from the Procfile: {names}{more}. The engine runs `web` as the service, and `release` once "
        "before it. Start another process with the service (service.command), or in a project of its own: the same "
        "repository_url, and a source_path whose delivery.yaml names its command (docs/delivery.md)"
    )
