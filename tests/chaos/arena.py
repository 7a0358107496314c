"""One stack and one service on it that is delivered again and again while things are killed."""

import time
from pathlib import Path
from typing import Any

import httpx2

from examples.client import Api
from tests.chaos.moments import Moment, moments
from tests.chaos.records import Records
from tests.support.platform import App, Begun, Platform

REPLICAS = 2
READY_SECONDS = 60.0

# Slow where something is to be killed in the midst of it, quick everywhere else.
SPEC: dict[str, Any] = {
    "build": {"steps": ["python3 build.py", "sleep 1"]},
    "test": {"command": "sleep 1"},
    "service": {"replicas": REPLICAS},
    "rollout": {"scale_down_delay": 0.5, "verify_seconds": 1},
}


class Arena:
    """The stack, its records, and the application `chaos` with a good version in `dev`."""

    def __init__(self, folder: Path) -> None:
        self.platform = Platform(folder / "data", folder / "repositories")
        self._token = self.platform.stack.token()
        self.records = Records(self.platform.stack.data_dir)
        self.app: App = self.platform.app("chaos")
        self.moments: tuple[Moment, ...] = moments(REPLICAS)
        self.app.ship_good(spec=SPEC)

    def close(self) -> None:
        self.records.close()
        self.platform.close()

    @property
    def project_id(self) -> str:
        return str(self.app.project["id"])

    def refresh(self) -> None:
        """Wait until the API answers again, on new connections: the old ones may have died with it."""
        self.platform.api.close()
        address = self.platform.stack.addresses["api"]
        self.platform.api = Api(address, self._token)
        deadline = time.monotonic() + READY_SECONDS
        while not _ready(address):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API was not ready again within {READY_SECONDS:g} s")
            time.sleep(0.05)

    def ship(self) -> Begun:
        """Ask for the next version."""
        return self.app.begin(spec=SPEC)


def _ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz", trust_env=False, timeout=5).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False
