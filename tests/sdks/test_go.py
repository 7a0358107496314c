"""The Go SDK: vet, staticcheck and its own tests, where there is Go. It is of the standard library alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdks.generate.languages import SDKS, ToolchainMissingError, program

HERE = SDKS / "go"
LIMIT_S = 600


@pytest.fixture(scope="module")
def go():
    try:
        return program("go", "install Go 1.24 or newer")
    except ToolchainMissingError as error:
        pytest.skip(f"NOT SEEN: sdks/go is not tested: {error}")


def run(*command: str | Path) -> str:
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        command, cwd=HERE, env=environment, timeout=LIMIT_S, capture_output=True, text=True, check=False
    )
    sys.stdout.write(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(LIMIT_S + 60)
def test_its_tests_pass(go):
    run(go, "vet", "./...")
    assert "ok" in run(go, "test", "./...")


def test_it_is_formatted(go):
    assert run(Path(go).with_name("gofmt"), "-l", ".") == ""


@pytest.mark.timeout(LIMIT_S + 60)
def test_staticcheck_finds_nothing(go):
    found = shutil.which("staticcheck") or shutil.which(Path.home() / "go" / "bin" / "staticcheck")
    if found is None:
        pytest.skip("NOT SEEN: staticcheck is not installed")
    run(found, "./...")


def test_it_needs_nothing_but_the_standard_library(go):
    listed = run(go, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...").split()
    assert {name.split("/sdk")[0] for name in listed} == {"github.com/ai-agents"}


def test_every_method_of_the_api_is_there():
    """Also without Go: the runner's table names a method that the service has."""
    sources = "".join(path.read_text() for path in HERE.glob("*.go"))
    table = (HERE / "conformance" / "methods.go").read_text()
    found = re.findall(r'"(\w+\.\w+)": +\{func\(c \*aiagents\.Client\) any \{ return c\.(\w+) \}, "(\w+)"', table)
    assert len(found) > 100
    for name, service, method in found:
        assert f"func (s *{service}Service) {method}(" in sources, name
