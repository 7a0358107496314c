"""Procfiles: one process type per line, `web: command`.

`web` is the service, `release` the command of the release phase; all others run beside the service
(docs/adr/0028-process-types.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

WEB = "web"
RELEASE = "release"
NOT_BESIDE = frozenset({WEB, RELEASE})
# Names for `heroku run` from Heroku's Ruby buildpack, and Scalingo's command after a deployment: none keeps running.
BY_HAND = frozenset({"console", "rake", "postdeploy"})
MAX_NAMED = 10
_MAX_NAME = 64
_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


@dataclass(frozen=True)
class ProcessType:
    """Its line in the file, from 1, and its command."""

    line: int
    command: str


def read_procfile(text: str) -> dict[str, ProcessType]:
    """The process types by name, in the order of the file; if a name is repeated, the first line counts."""
    found: dict[str, ProcessType] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        matched = _LINE.fullmatch(line.strip())
        if matched:
            found.setdefault(matched[1], ProcessType(number, matched[2]))
    return found


def beside(types: Mapping[str, ProcessType]) -> dict[str, ProcessType]:
    """The process types other than the service and its release command."""
    return {name: each for name, each in types.items() if name not in NOT_BESIDE}


def default_count(name: str) -> int:
    """Default number of processes of a type."""
    return 0 if name in BY_HAND else 1


def told(counts: Mapping[str, int], *, vary: bool = False) -> str | None:
    """A message about the types beside the service and their counts; None if there are none.

    `vary`: counts differ between environments.
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
