"""How a service's command becomes a line for the shell: programs take its place, whatever else it is just runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from drivers.targets.process.command import shell_line

BUILT_IN = (
    ". ./script",
    ":",
    "! false",
    "[ 1 = 1 ]",
    "alias x=y",
    "bg",
    "break",
    "cd /",
    "command -v cd",
    "continue",
    "echo a  b",
    "eval echo a",
    "exit 3",
    "export A",
    "false",
    "getopts a x",
    "hash",
    "jobs",
    "kill -l",
    "local x",
    "printf %s-%s a b",
    "pwd",
    "read x",
    "readonly A",
    "return 2",
    "set -e",
    "shift",
    "test 1 = 2",
    "times",
    "trap",
    "true",
    "type cd",
    "ulimit -n",
    "umask",
    "unalias -a",
    "unset A",
    "wait",
)
PID = "pid.py"


def run(line: str, folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", BUILT_IN)
def test_every_built_in_does_what_it_does_in_a_shell(command: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo sourced\n")
    code, out, _ = run(command, tmp_path)
    as_service = run(shell_line(command), tmp_path)
    assert as_service[0] == code
    if command != "times":
        assert as_service[1] == out


@pytest.mark.parametrize(
    "command",
    [
        f"python3 {PID}",
        f"./program {PID}",
        f"'python3' {PID}",
        f"$PROGRAM {PID}",
        f"exec python3 {PID}",
        f"env python3 {PID}",
        f"python3 {PID} # the service",
    ],
)
def test_a_program_takes_the_shells_place_so_that_signals_arrive(command: str, tmp_path: Path) -> None:
    program = shutil.which("python3")
    assert program
    (tmp_path / "pid.py").write_text("import os; print(os.getpid())")
    (tmp_path / "program").write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    (tmp_path / "program").chmod(0o755)
    with subprocess.Popen(
        ["/bin/sh", "-c", shell_line(command)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PROGRAM": program},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        out, _ = process.communicate(timeout=240)
    assert out.strip() == str(process.pid)


@pytest.mark.parametrize("command", ["a; b", "a | b", "A=1 serve", "a && b", "(a)", "a\nb", ""])
def test_more_than_one_command_is_left_as_it_is(command: str) -> None:
    assert shell_line(command) == command


def test_what_is_not_there_is_said_by_the_shell(tmp_path: Path) -> None:
    code, _, said = run(shell_line("gunicorn-of-nobody app:app"), tmp_path)
    assert (code, "not found" in said) == (127, True)
