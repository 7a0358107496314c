"""Procfiles: one process type a line, `web: command`.

`web` is the service, `release` the command of the release phase; all others run beside the service
(docs/adr/0028-process-types.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

WEB = "web"
RELEASE = "release"
NOT_BESIDE = frozenset({WEB, RELEASE})
# What Heroku's Ruby buildpack names for `heroku run`, and what Scalingo runs once after a deployment: none stays up.
BY_HAND = frozenset({"console", "rake", "postdeploy"})
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


def beside(types: Mapping[str, ProcessType]) -> dict[str, ProcessType]:
    """The types that are neither the service nor its release command."""
    return {name: each for name, each in types.items() if name not in NOT_BESIDE}


def default_count(name: str) -> int:
    """Default number of processes of a type."""
    return 0 if name in BY_HAND else 1


def told(counts: Mapping[str, int], *, vary: bool = False) -> str | None:
    """What people are told of the types beside the service, by how many of each run; None: there are none.

    `vary`: environments have counts of their own.
    """
    running = [f"`{name}` ({count})" for name, count in counts.items() if count]
    resting = [f"`{name}`" for name, count in counts.items() if not count]
    parts = [f"beside the service run {_some(running)}"] if running else []
    if resting:
        parts.append(
            f"not started: {_some(resting)}; `processes` in delivery.yaml says how many of each (docs/delivery.md)"
        )
    if parts and vary:
        parts.append("environments have counts of their own")
    return "; ".join(parts) or None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
