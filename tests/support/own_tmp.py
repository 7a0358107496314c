"""A pytest plugin that gives a run a /tmp of its own, in memory: `-p tests.support.own_tmp`; `tests/gate.py` uses it.

To make a file on a disk can take a millisecond of a processor, and an empty database of ours has 350 of them. In memory
it takes a fiftieth. The mount is seen by pytest and by what it starts, and goes with the last of these processes,
whatever ends them. It needs root and memory; without them the tests run on the disk and take longer.
"""

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from runtime import machine
from tests.support import spent

TMP: Final = Path("/tmp")
ROOT: Final = Path(__file__).resolve().parents[2]
# A portion keeps up to 500 MiB in it, beside what its processes need.
NEEDED_MB: Final = 7000
_CLONE_NEWNS: Final = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before anything asks where /tmp is."""
    if os.geteuid() == 0 and machine.measured(TMP).memory_mb >= NEEDED_MB:
        _enter([path for path in _needed() if path.is_relative_to(TMP)])


def _needed() -> set[Path]:
    """What the run needs of the /tmp that there was: the checkout may be there."""
    said = os.environ.get(spent.FOLDER)
    return {ROOT, Path(sys.prefix), Path(sys.base_prefix), *([Path(said)] if said else [])}


def _enter(kept: list[Path]) -> None:
    """Put an empty folder in memory over /tmp, with some of its folders at their places again."""
    folder = Path.cwd()
    try:
        _system("unshare", _CLONE_NEWNS)
        _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)
        descriptors = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in kept]
        _mount("tests", TMP, "tmpfs", 0, "mode=1777")
    except OSError as denied:
        sys.stderr.write(f"the tests run in the /tmp of the disk, which takes longer: {denied}\n")
        return
    for path, descriptor in zip(kept, descriptors, strict=True):
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", path, None, _MS_BIND | _MS_REC)
        os.close(descriptor)
    os.chdir(folder)


def _mount(source: str | None, target: Path, kind: str | None, flags: int, data: str = "") -> None:
    words = (None if word is None else word.encode() for word in (source, str(target), kind))
    _system("mount", *words, flags, data.encode())


def _system(name: str, *arguments: bytes | int | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*(ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
