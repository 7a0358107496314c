"""A process that serves says so in a file: its pid, and when it began (clock ticks since boot).

A killed one leaves its file behind, and in a container the next one has the same pid: with its beginning the file names
one process. `deploy/compose.yaml` compares both with /proc, `make up` waits for the pid that it started.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.files import write_whole
from runtime.stack.identity import Identity


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Meanwhile the file says that this process serves; a reader never sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, _words(os.getpid()), sync=False)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def fault(file: Path, pid: int) -> str | None:
    """What is wrong with the file when that process is to serve; None: it says that it does."""
    try:
        words = file.read_text(encoding="utf-8")
    except OSError:
        return f"{file} is missing"
    if words != _words(pid):
        return f"{file} names process {words.partition(' ')[0]!r}, or one before it, not {pid}"
    return None


def _words(pid: int) -> str:
    identity = Identity.of(pid)
    return f"{pid} {identity.started}\n" if identity else ""
