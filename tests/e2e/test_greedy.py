"""Builds and services that take what is everybody's: ended with their reason, and the old version serves."""

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

BOMB = """\
import os, time

while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""
BUILD = "build:\n  processes: 60\n  disk_mb: 40\n  steps:\n    - {step}\nservice:\n  command: python3 app.py\n"
SERVICE = "service:\n  processes: 60\n  disk_mb: 40\n  command: {command}\n"
FILL = 'for i in $(seq 30); do dd if=/dev/zero of="$TMPDIR/part$i" bs=1M count=4 2>/dev/null; done; sleep 60'


@pytest.fixture
def live(live):
    """The live application; afterwards the version from before must still serve."""
    before = live.service.version()
    yield live
    assert live.service.version() == before


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("python3 bomb.py", "BUILD_PROCESS_LIMIT"),
        pytest.param(f"'{FILL}'", "BUILD_DISK_LIMIT", marks=pytest.mark.deep),
    ],
)
def test_a_greedy_build_is_named(live, step, code):
    files = {"bomb.py": BOMB, "delivery.yaml": BUILD.format(step=step)}
    assert live.ship(files=files).error["code"] == code


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param("python3 bomb.py", "INSTANCE_PROCESS_LIMIT", marks=pytest.mark.deep),
        (f"'{FILL}'", "INSTANCE_DISK_LIMIT"),
    ],
)
def test_a_greedy_service_is_named(live, command, code):
    files = {"bomb.py": BOMB, "delivery.yaml": SERVICE.format(command=command)}
    assert live.ship(files=files).error["code"] == code
