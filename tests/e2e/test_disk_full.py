"""A full disk fails the operation with a clear message; with space again, the next one completes."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.client import ApiError
from runtime.settings import Settings
from runtime.stack import orphans
from runtime.stack.layout import Layout
from tests.chaos.invariants import settled
from tests.support.load_process import load_on
from tests.support.platform import Platform
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BIG = {"build": {"steps": ["python3 build.py", "head -c 3000000 /dev/urandom > dist/blob"]}}
LOUD = {"build": {"steps": ["python3 build.py", "seq 1 400000"]}}


@contextmanager
def tiny_disk(folder, size="1m"):
    """A small file system on a folder; skips where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here, so no small disk can be made: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=120)


@pytest.fixture(scope="module")
def app(platform):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = platform.app("full")
    made.ship_good()
    return made


@pytest.mark.parametrize(
    ("place", "spec"),
    [
        pytest.param("workspaces", BIG, marks=pytest.mark.deep),
        pytest.param("artifacts", BIG, marks=pytest.mark.deep),
        pytest.param("logs/operations", LOUD, marks=pytest.mark.deep),
    ],
)
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


@pytest.fixture
def crowded(tmp_path_factory):
    """A stack whose whole data folder is on a small disk of its own."""
    folder = Path(tempfile.mkdtemp(prefix="de full-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with tiny_disk(folder / "data", "900m"):
            running = Platform(folder / "data", tmp_path_factory.mktemp("repositories"))
            try:
                yield running
            finally:
                (folder / "data" / "filler").unlink(missing_ok=True)
                running.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
@pytest.mark.timeout(500)
def test_the_disk_of_everything_fills_up_and_has_room_again(crowded):
    """PostgreSQL, Temporal, artifacts, logs at once: what serves serves on, nothing is lost, it goes on by itself."""
    app = crowded.app("crowded")
    app.ship_good()
    before = app.service.version()
    parts = orphans.running(Layout.make(Settings(data_dir=crowded.stack.data_dir)))
    filler = crowded.stack.data_dir / "filler"
    with load_on(app.service, rps=20) as load:
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        refused = began(app)
        until(lambda: health(app) != "healthy", "the health tells it", 180)
        assert app.service.version() == before
        filler.unlink()
        until(lambda: health(app) == "healthy", "healthy again", 180)
        if refused is not None:
            app.api.wait(refused, 120)  # accepted is kept: it comes to an end, whichever
        again = app.ship_good()
        summary = load.stop()
    assert app.service.version() == again.version
    assert summary["failures"] == 0, summary["examples"]
    after = orphans.running(Layout.make(Settings(data_dir=crowded.stack.data_dir)))
    assert after.keys() == parts.keys()


def fill(path):
    with path.open("wb") as file:
        while True:
            file.write(b"x" * 1_000_000)


def health(app):
    return app.api.raw("GET", "/health").json()["status"]


def began(app):
    """The id of an operation that was accepted with no room left; None when it was refused with an error of ours."""
    try:
        return app.begin().accepted.operation_id
    except ApiError as error:
        if error.status not in (500, 503):
            raise
        return None
