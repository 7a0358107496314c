"""What is imported before anything is done: it is what a start costs. Counted, since clocks lie on a busy machine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("typer", "rich", "pydantic", "ai_agents", "httpx2", "jsonschema", "yaml", "jq", "asyncio", "ssl", "webbrowser")


def modules_after(*arguments: str) -> set[str]:
    program = (
        "import sys; from delivery_cli.main import run; code = run(sys.argv[1:]);"
        " sys.stderr.write('\\n'.join(sys.modules)); sys.exit(code)"
    )
    path = f"{ROOT / 'cli' / 'src'}{os.pathsep}{ROOT / 'sdks' / 'python' / 'src'}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stderr.splitlines())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], []])
def test_the_first_words_import_nothing_heavy(arguments):
    assert not modules_after(*arguments) & set(HEAVY)


def test_the_help_of_a_command_imports_its_parser_and_not_the_sdk():
    found = modules_after("deploy", "--help")
    assert not found & {"ai_agents", "pydantic", "httpx2", "rich", "jsonschema", "yaml", "jq", "ssl"}
    others = {name for name in found if name.startswith("delivery_cli.commands.")}
    assert others == {"delivery_cli.commands.deploy"}


def test_the_command_of_a_checkout_takes_nothing_from_the_current_folder(tmp_path):
    """`python -m` would import a `typer.py` that lies there."""
    (tmp_path / "typer.py").write_text("raise SystemExit('taken from the current folder')")
    done = subprocess.run(
        [ROOT / "cli" / "bin" / "delivery", "deploy", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:" in done.stdout


def test_make_setup_leaves_the_command_in_the_environment_of_a_path_with_a_space(tmp_path):
    """The environment is there already, so nothing is installed; without it `make` would say that it has no Python."""
    checkout = tmp_path / "a checkout"
    shutil.copytree(ROOT / "cli", checkout / "cli", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "locks", "drivers", "sdks"):
        (checkout / name).symlink_to(ROOT / name)
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    of_what = re.search(r'wanted="\$\$\((cat .* \| cksum)\)"', (ROOT / "Makefile").read_text())[1]
    for name, files in (("LOCKS", "locks/runtime.txt locks/dev.txt"), ("SCANNERS", "locks/scanners.txt")):
        of_what = of_what.replace(f"$({name})", files)
    stamp = subprocess.check_output(["sh", "-c", of_what], cwd=checkout, text=True)
    (checkout / ".venv" / ".stamp").write_text(stamp.strip())
    subprocess.run(["make", "setup", "PYTHON=none"], cwd=checkout, check=True, timeout=120)
    done = subprocess.run(
        [checkout / ".venv" / "bin" / "delivery", "deploy", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Examples:" in done.stdout


DELIVERY = ROOT / "cli" / "bin" / "delivery"


def in_shell(line: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, "-", DELIVERY],
        capture_output=True, text=True, check=False, timeout=120, **more,
    )  # fmt: skip


@pytest.mark.parametrize("words", ["--help", "deploy --help", "completion bash"])
@pytest.mark.parametrize("where", ["| true", "> /dev/full", ">&-", "<&-", "2>&-"])
def test_streams_that_are_gone_or_full_are_no_stack_trace(words, where):
    done = in_shell(f'"$1" {words} {where}')
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "AttributeError" not in done.stderr
    if where == "> /dev/full":
        assert (done.returncode, "No space left" in done.stderr) == (1, True)


def test_a_closed_standard_input_is_an_empty_one(tmp_path):
    done = in_shell('"$1" login http://127.0.0.1:9 --with-key <&-', env={**os.environ, "HOME": str(tmp_path)})
    assert (done.returncode, "no key and no token" in done.stderr) == (2, True), done.stderr


def test_a_group_without_a_command_shows_its_help():
    done = in_shell('"$1" env')
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: delivery env")
