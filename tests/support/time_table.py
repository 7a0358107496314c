"""What `tests/support/spent.py` wrote, summed up for people: by folder, and the slowest files and fixtures."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES, FIXTURES = 8, 8


@dataclass
class Sum:
    """How often, and seconds by the clock and of processors."""

    count: int = 0
    wall: float = 0.0
    cpu: float = 0.0

    def add(self, wall: float, cpu: float) -> None:
        self.count, self.wall, self.cpu = self.count + 1, self.wall + wall, self.cpu + cpu


def table(paths: Iterable[Path]) -> list[str]:
    """Lines to print; none where nothing was measured."""
    folders, files, fixtures = (defaultdict[str, Sum](Sum) for _ in range(3))
    for entry in _entries(paths):
        wall, cpu = entry["wall"], entry["cpu"]
        if entry["kind"] == "fixture":
            fixtures[entry["name"]].add(wall, cpu)
        elif entry["kind"] == "test":
            files[entry["file"]].add(wall, cpu)
            folders["/".join(entry["file"].split("/")[:2])].add(wall, cpu)
        else:
            folders["(collecting)"].add(wall, cpu)
    if not files:
        return []
    return [
        *_part("tests of", folders, len(folders)),
        *_part("files, by processor", files, FILES),
        *_part("files, by waiting", files, FILES, lambda each: each.wall - each.cpu),
        *_part("fixtures", fixtures, FIXTURES, lambda each: each.wall),
    ]


def _entries(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        if path.exists():
            lines = path.read_text().splitlines()
            yield from (json.loads(line) for line in lines if line.endswith("}"))  # the last of a killed run may not


def _part(
    title: str, sums: dict[str, Sum], most: int, weight: Callable[[Sum], float] = lambda each: each.cpu
) -> Iterator[str]:
    yield f"{'':6}  {'clock s':>8} {'CPU s':>8}  {title}"
    for name, each in sorted(sums.items(), key=lambda pair: -weight(pair[1]))[:most]:
        yield f"{each.count:6}  {each.wall:8.1f} {each.cpu:8.1f}  {name}"
