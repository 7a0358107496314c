"""One stack and one service on it that is delivered again and again while things are killed."""

import time
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from domain.lifecycle import FINISHED_OPERATIONS
from examples.client import Accepted, Api
from tests.chaos.moments import Moment, Row, moments, reached
from tests.chaos.records import Records
from tests.support.platform import App, Platform

REPLICAS = 2
OPERATION_SECONDS = 150.0
LOOK_SECONDS = 0.004

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
        self._number = 0
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
        deadline = time.monotonic() + OPERATION_SECONDS
        while not _ready(address):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API was not ready again within {OPERATION_SECONDS:g} s")
            time.sleep(0.05)

    def ship(self) -> tuple[str, Accepted]:
        """Ask for the next version; returns it with the answer."""
        self._number += 1
        version = f"2.0.{self._number}"
        self.app.repository.commit(version, files={"delivery.yaml": self.app.spec(**SPEC)})
        return version, self.app.api.build_and_deploy(self.app.feature["id"], version)

    def await_moment(self, operation_id: str, moment: Moment) -> Row:
        """The operation's row as soon as it stands at the moment."""
        return self._await(operation_id, lambda row: reached(row, moment, self.moments))

    def await_end(self, operation_id: str) -> Row:
        """The operation's row once it is over."""
        return self._await(operation_id, lambda row: row["status"] in FINISHED_OPERATIONS)

    def _await(self, operation_id: str, wanted: Any) -> Row:
        deadline = time.monotonic() + OPERATION_SECONDS
        row: Row = {}
        while time.monotonic() < deadline:
            try:
                row = self.records.operation(operation_id)
            except psycopg.OperationalError:  # PostgreSQL may be what was killed
                time.sleep(0.05)
                continue
            if wanted(row):
                return row
            time.sleep(LOOK_SECONDS)
        raise TimeoutError(
            f"operation {operation_id} stood at {row.get('current_step')!r} after {OPERATION_SECONDS:g} s"
        )


def _ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz", trust_env=False, timeout=5).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False
