"""What ordinary repositories need of a machine is there, isolated: toolchains, certificates, names, time."""

import shutil
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.clean_env import CodePath
from runtime.settings import Settings
from runtime.stack.binaries import postgres_dir
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
        "printf 'module a\\n\\ngo 1.18\\n' > go.mod; printf '%s' \"$MAIN_GO\" > main.go",
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


# Go asks for MPTCP first wherever it listens (1.24), and takes what it gets. A name that is not listed is not found.
MAIN_GO = """
package main

import (
    "errors"
    "net"
)

func main() {
    var fault *net.DNSError
    if _, err := net.LookupHost("db.internal"); !errors.As(err, &fault) || !fault.IsNotFound || fault.IsTemporary {
        panic(err)
    }
    server, err := net.Listen("tcp", "127.0.0.1:0")
    if err != nil {
        panic(err)
    }
    go server.Accept()
    if _, err := net.Dial("tcp", server.Addr().String()); err != nil {
        panic(err)
    }
}
"""
POSTGRES = """
initdb -D $HOME/pg -U me -A trust --no-sync > initdb.log || { cat initdb.log; exit 1; }
options="-k $TMPDIR -c listen_addresses=127.0.0.1 -p 5433"
pg_ctl -D $HOME/pg -o "$options" -l pg.log -w -t 300 start || { cat pg.log; exit 1; }
pg_ctl -D $HOME/pg -w -t 300 -m fast stop
"""


@pytest.mark.timeout(1200)  # compilers
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.deep
async def test_a_recipe_works(name: str, tmp_path: Path) -> None:
    program, *steps = RECIPES[name]
    builder = BubblewrapBuilder((tmp_path,))
    if not any(shutil.which(program, path=folder) for folder in builder._path.folders):
        pytest.skip(f"there is no {program} on this machine")
    result = await builder.run(Workspace.below(tmp_path / "w").request(*steps, env={"MAIN_GO": MAIN_GO}))
    assert result.exit_code == 0, result.tail


async def test_a_database_works(tmp_path: Path) -> None:
    """PostgreSQL wants shared memory, semaphores, many processes, and no root."""
    folder = postgres_dir(Settings()).resolve()
    path = CodePath((str(folder), "/usr/bin", "/bin"), (folder.parents[2],))  # with the libraries of the wheel
    builder = BubblewrapBuilder((tmp_path,), path)
    result = await builder.run(Workspace.below(tmp_path / "w").request(POSTGRES))
    assert result.exit_code == 0, result.tail
