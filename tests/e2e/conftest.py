import tempfile
from pathlib import Path

import pytest

from drivers.folders import remove_tree
from tests.chaos.records import Records
from tests.support.platform import Platform

# Webhooks may come to the tests themselves.
RECEIVERS = {"DELIVERY_EGRESS_NETWORKS": "127.0.0.0/8", "DELIVERY_WEBHOOK_PORTS": "any"}


@pytest.fixture(scope="session")
def platform():
    """One stack for all end-to-end tests, in a short path (unix sockets) with a space in it."""
    folder = Path(tempfile.mkdtemp(prefix="de e2e-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    try:
        running = Platform(folder / "data", folder / "repositories", RECEIVERS)
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
