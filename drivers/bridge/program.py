"""The bridge's program: its path, and its compilation, once, by the machine's C compiler, into the environment.

Its name contains the hash of its source, so that an upgrade never runs an older one and several checkouts can share an
environment. `make setup` compiles it; otherwise its first user does.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from domain.errors import ErrorCode, TerminalError

SOURCE = Path(__file__).with_name("bridge.c")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-s")
_COMPILERS = ("cc", "gcc", "clang")
_TIMEOUT_S = 120


def path() -> Path:
    """Its path, whether it exists or not."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    return Path(sys.prefix) / "libexec" / f"delivery-bridge-{digest}"


@lru_cache(maxsize=1)
def program() -> Path:
    """The path of the program, which is compiled now if it is missing.

    Raises:
        TerminalError: BUILD_ISOLATION_UNAVAILABLE, it is missing and cannot be compiled.
    """
    found = path()
    if not os.access(found, os.X_OK):
        make(found)
    return found


def make(target: Path) -> None:
    """Compile it. A second process replaces it by identical bytes. Raises as `program`."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", ""), *_COMPILERS))), None)
    if compiler is None:
        raise _unavailable("there is no C compiler here (cc, gcc, clang)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
            made = Path(folder) / target.name
            _compile(compiler, made)
            made.chmod(0o755)
            made.replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unavailable(str(error)) from error


def _compile(compiler: str, made: Path) -> None:
    """Statically linked if the machine can do that: it starts faster and needs less memory."""
    words = ""
    for linking in (("-static",), ()):
        done = subprocess.run(
            [compiler, *_FLAGS, *linking, "-o", str(made), str(SOURCE)],
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        if done.returncode == 0:
            return
        words = done.stderr.decode(errors="replace")
    raise _unavailable(f"{compiler} could not compile it: {words.strip()[-500:]}")


def _unavailable(why: str) -> TerminalError:
    return TerminalError(
        f"Isolated code needs the bridge to its network, a small program in C, and {why}: install a C compiler and run "
        "`make setup`, or set DELIVERY_TRUSTED_CODE=true if all code that is built here is trusted.",
        code=ErrorCode.BUILD_ISOLATION_UNAVAILABLE,
    )
