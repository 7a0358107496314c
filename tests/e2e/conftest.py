import tempfile
from pathlib import Path

import pytest

from drivers.folders import remove_tree
from tests.chaos.records import Records
from tests.support import osv
from tests.support.platform import Platform

# Webhooks may come to the tests themselves.
RECEIVERS = {"DELIVERY_EGRESS_NETWORKS": "127.0.0.0/8", "DELIVERY_WEBHOOK_PORTS": "any"}


@pytest.fixture(scope="session")
def advisories(tmp_path_factory):
    """The mirror of advisories of the stack."""
    folder = tmp_path_factory.mktemp("advisories")
    for above in (folder, folder.parent):
        above.chmod(0o755)
    return osv.folders(folder)


@pytest.fixture(scope="session")
def platform(advisories):
    """One stack for all end-to-end tests, in a short path (unix sockets) with a space in it."""
    folder = Path(tempfile.mkdtemp(prefix="de e2e-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    try:
        # Dependencies alone are scanned: of nearly all services there are none, and no tool is started for it.
        scans = {"DELIVERY_SCANNERS": "advisories", "DELIVERY_ADVISORIES_DIR": str(advisories)}
        running = Platform(folder / "data", folder / "repositories", {**RECEIVERS, **scans})
        try:
            yield running
        finally:
            running.close()
    finally:
        remove_tree(folder)  # strangers' builds nest folders deeper than shutil follows


@pytest.fixture(scope="session")
def live(platform):
    """An application with a good version in `dev`: bad input must leave it serving."""
    app = platform.app("live")
    app.ship_good()
    return app


@pytest.fixture
def records(platform):
    """The stack's database, target and router, read beside the API."""
    found = Records(platform.stack.data_dir)
    yield found
    found.close()
