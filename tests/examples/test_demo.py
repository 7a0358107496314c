import os
import subprocess
import sys

from examples.demo_screen import Screen
from examples.embedded import ROOT


def test_without_a_stack_it_ends_with_1_and_says_why(tmp_path):
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, "DELIVERY_DATA_DIR": str(blocked)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert "✗" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_away_from_a_terminal_every_step_is_one_line(capsys):
    with Screen().following("1.0.0") as follower:
        for percent, step in ((0, "Queued"), (10, "Building"), (20, "Building"), (100, None)):
            follower.seen({"progress_percent": percent, "current_step": step})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["0", "%", "Queued"], ["10", "%", "Building"]]
