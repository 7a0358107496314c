"""The TypeScript SDK: it builds, its types hold, its tests pass; what is published can be used.

All is done in a copy, beside the packages that `sdks/generate/npm.py` has; its path has a space, as a user's may.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sdks.generate import npm
from sdks.generate.description import DOCUMENT
from sdks.generate.languages import ToolchainMissingError

LIMIT_S = 600


@pytest.fixture(scope="module")
def package():
    try:
        home = npm.install()
    except ToolchainMissingError as error:
        pytest.skip(f"NOT SEEN: sdks/typescript is not built: {error}")
    with tempfile.TemporaryDirectory(prefix="a copy ", dir=home) as folder:
        copy = Path(folder) / "typescript"
        ignore = shutil.ignore_patterns("node_modules", "dist", "build")
        shutil.copytree(npm.SOURCES, copy, ignore=ignore)
        run(copy, "node", "scripts/build.mjs")
        yield copy


def run(folder: Path, *command: str | Path) -> str:
    """What a program prints, which is printed too; the test fails with it if the program does."""
    environment = {**npm.environment(), "OPENAPI": str(DOCUMENT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, timeout=LIMIT_S, capture_output=True, text=True, check=False
    )
    sys.stdout.write(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_its_tests_pass(package):
    tests = sorted((package / "tests").glob("*.test.mjs"))
    assert len(tests) > 5
    run(package, "node", "--test", "--test-concurrency=2", *tests)


@pytest.mark.timeout(900)
def test_its_types_hold_for_the_strictest_user_and_its_readme_is_right(package):
    run(package, "node", "scripts/typecheck.mjs")


USES = "console.log(typeof Client, typeof webhooks.verify)"


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_what_is_published_is_whole_and_can_be_used_both_ways(package):
    (name,) = run(package, *npm.command("pack", "--ignore-scripts")).split()
    run(package, "publint", "--strict", "--pack", "false", ".")
    run(package, "attw", "--no-color", name)
    user = package / "a user"
    user.mkdir()
    (user / "package.json").write_text('{"name": "user", "private": true}')
    run(user, *npm.command("install", "--offline", "--no-audit", "--no-fund", package / name))
    for kind, code in {
        "module": f'import {{ Client, webhooks }} from "@ai-agents/sdk"; {USES}',
        "commonjs": f'const {{ Client, webhooks }} = require("@ai-agents/sdk"); {USES}',
    }.items():
        assert run(user, "node", f"--input-type={kind}", "-e", code) == "function function\n"


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_its_size_and_its_cold_import_are_printed(package):
    printed = run(package, "node", "scripts/size.mjs")
    assert "gzip" in printed
    assert "cold import" in printed
