"""A full disk fails the operation with a clear message; with space again, the next one completes."""

import os
import subprocess
from contextlib import contextmanager

import pytest

from tests.chaos.invariants import settled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

BIG = {"build": {"steps": ["python3 build.py", "head -c 3000000 /dev/urandom > dist/blob"]}}
LOUD = {"build": {"steps": ["python3 build.py", "seq 1 400000"]}}


@contextmanager
def tiny_disk(folder):
    """A file system of one MiB on a folder of the data folder; skips where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here, so no small disk can be made: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


@pytest.fixture(scope="module")
def app(platform):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = platform.app("full")
    made.ship_good()
    return made


@pytest.mark.parametrize(("place", "spec"), [("workspaces", BIG), ("artifacts", BIG), ("logs/operations", LOUD)])
def test_a_full_disk(app, records, place, spec):
    before = app.service.version()
    with tiny_disk(records.layout.data / place):
        error = app.ship(spec=spec).error
    assert error["code"] == "DISK_FULL", error
    assert "full" in error["message"]
    assert settled(records, app.project["id"]) == []
    assert app.service.version() == before
    again = app.ship_good(spec=spec)
    assert app.service.version() == again.version
