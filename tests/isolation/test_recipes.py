"""What ordinary repositories need of a machine is there, isolated: toolchains, certificates, names, time."""

import shutil
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.builders.bubblewrap import BubblewrapBuilder
from tests.drivers.builders.workspace import Workspace
from tests.isolation.test_denials import LOUD

pytestmark = pytest.mark.skipif(not sandbox.available(), reason=LOUD)

RECIPES = {
    "python": (
        "python3",
        "python3 -m venv .venv && .venv/bin/pip --version",
        ".venv/bin/python -c 'import ctypes, hashlib, multiprocessing, sqlite3, ssl; multiprocessing.Lock()'",
        "python3 -c 'import ssl; assert ssl.create_default_context().cert_store_stats()[\"x509_ca\"] > 50'",
    ),
    "node": (
        "npm",
        'echo \'{"name": "a", "version": "1.0.0"}\' > package.json && npm install --offline --package-lock-only',
        "npm ci --offline && node -e 'require(\"os\").cpus().length || process.exit(1)'",
    ),
    "go": (
        "go",
        "printf 'module a\\n\\ngo 1.18\\n' > go.mod; printf 'package main\\nfunc main() { println(1) }\\n' > main.go",
        "GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0 go build -o dist/server . && dist/server",
    ),
    "java": (
        "javac",
        "echo 'class A { public static void main(String[] a) { System.out.println(1); } }' > A.java",
        "javac A.java && java A",
    ),
    "c": ("gcc", "echo 'int main() { return 0; }' > a.c && gcc -o a a.c && ./a"),
    "ruby": ("bundle", "bundle config set --local path vendor/bundle && ruby -e 'require \"openssl\"'"),
    "git": ("git", "git init -q . && git -c user.name=a -c user.email=b commit -q --allow-empty -m c && git log"),
    "names": (
        "sh",
        'test "$(id -un)" = delivery && test "$(id -u)" != 0 && getent hosts localhost && cd ~ && date',
        'test -w /tmp && test -w /var/tmp && test -w "$TMPDIR" && echo x > /tmp/x && test -s "$TMPDIR/x"',
        "test $(nproc) -gt 0 && sort --version > /dev/null && awk 'BEGIN { exit 0 }'",
    ),
}


@pytest.mark.parametrize("name", RECIPES)
async def test_a_recipe_works(name: str, tmp_path: Path) -> None:
    program, *steps = RECIPES[name]
    builder = BubblewrapBuilder((tmp_path,))
    if not any(shutil.which(program, path=folder) for folder in builder._path.folders):
        pytest.skip(f"there is no {program} on this machine")
    result = await builder.run(Workspace.below(tmp_path / "w").request(*steps))
    assert result.exit_code == 0, result.tail
