"""Looks for secrets that were planted, wherever a machine keeps or shows text."""

import base64
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

SERVICE_MARK = b"DELIVERY_SHIM="  # stands in the environment of services and builds, and in no other


class Needles:
    """The values, as they are and as they travel: base64 at each of its three alignments, and inside of JSON."""

    def __init__(self, *values: str) -> None:
        self._needles = {value.encode() for value in values}
        for value in values:
            for shift in range(3):
                encoded = base64.b64encode(b"x" * shift + value.encode())
                # The first and the last characters depend on the neighbours.
                self._needles.add(encoded[4 if shift else 0 : -4])

    def within(self, text: bytes) -> bool:
        return any(needle in text for needle in self._needles)

    def files(self, folders: Iterable[Path]) -> list[Path]:
        """Files that hold one of them, in their content or name."""
        found = (path for folder in folders for path in folder.rglob("*"))
        return [path for path in found if self.within(str(path).encode()) or self.within(_content(path))]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    except FileNotFoundError:  # a log was turned over, a pid file replaced
        return b""


class Onlooker:
    """Looks at all processes again and again, as anybody on the machine can, until it is left."""

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = 0
        self.command_lines: set[str] = set()
        self.environments: set[str] = set()  # of others than services

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._enough.wait(0.02):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                line, environment = _read(process / "cmdline"), _read(process / "environ")
                if self._needles.within(line):
                    self.command_lines.add(line.decode(errors="replace"))
                if self._needles.within(environment) and SERVICE_MARK not in environment:
                    self.environments.add(line.decode(errors="replace"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def holding(word: str, folders: Sequence[Path]) -> list[Path]:
    """Files that hold a word: shows that the search finds what is there."""
    return [path for folder in folders for path in folder.rglob("*") if word.encode() in _content(path)]
