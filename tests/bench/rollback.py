"""How long users still meet a bad release: from the call, or the verdict, that takes it away to its last request."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.chaos.records import Records
from tests.support.load_process import load_on
from tests.support.platform import Platform
from tests.support.services import until

RPS = 1000
PER_LOAD = 3  # rounds during one run of the load generator: the log is read before it is turned over
SETTLE_S = 3.0  # Envoy writes its access log once a second
# The old release stays up beside the new one, as it does for the first thirty seconds by default.
SPEC: dict[str, Any] = {
    "service": {"replicas": 2},
    "rollout": {"scale_down_delay": 100, "verify_seconds": 0.2},
    "analysis": {"duration": 100, "min_requests": 50, "compare": ["errors"], "min_effect": 4, "pass_early": False},
}
CANARY = {"deployment_strategy": "canary", "canary_percentage": 50}


@dataclass(frozen=True)
class Taken:
    """A release that was taken away: when somebody said so (seconds since 1970)."""

    release_id: str
    said_at: float


class Bench:
    """One service under load, with a good and a bad build that are deployed again and again."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._records = Records(platform.stack.data_dir)
        self._log = platform.stack.data_dir / "logs" / "ingress.log"
        self._app = platform.app("rollbacks", example="hello-c")
        self._good = str(self._app.ship_good(spec=SPEC).deployment["build_id"])
        self._next = str(self._app.ship_good(spec=SPEC).deployment["build_id"])
        self._broken: str | None = None

    def close(self) -> None:
        """Let go of the stack."""
        self._records.close()

    def measure(self, way: Callable[["Bench"], Taken], rounds: int) -> list[float]:
        """Milliseconds of each round, sorted."""
        times: list[float] = []
        while len(times) < rounds:
            offset = self._log.stat().st_size
            with load_on(self._app.service, rps=RPS):
                taken = [way(self) for _ in range(min(PER_LOAD, rounds - len(times)))]
                time.sleep(SETTLE_S)
            times += _last_requests(self._log, offset, taken)
        return sorted(times)

    def live(self) -> Taken:
        """A version is live, the one before it still runs: `POST /rollback`."""
        begun = self._app.api.deploy(self._next, deployment_strategy="blue_green")
        self._await(begun.operation_id, "completed")
        # A build that still runs is returned to: then it is the release of an earlier deployment that serves.
        serving = self._records.one(
            "SELECT id FROM releases WHERE promoted_at IS NOT NULL ORDER BY promoted_at DESC LIMIT 1"
        )
        said_at = self._post(begun.deployment_id, "rollback").said_at
        return Taken(str(serving["id"]), said_at)

    def under_way(self) -> Taken:
        """A canary has half of the traffic and is being judged: `POST /abort`."""
        begun = self._app.api.deploy(self._next, **CANARY)
        self._await_analysis(begun.deployment_id)
        taken = self._post(begun.deployment_id, "abort")
        self._await(begun.operation_id, "cancelled")
        return taken

    def verdict(self) -> Taken:
        """A canary has half of the traffic and every second request fails: nobody calls, the judge decides."""
        begun = self._app.api.deploy(self._bad(), **CANARY)
        self._await(begun.operation_id, "failed")
        row = self._records.one(
            "SELECT updated_at FROM analyses WHERE deployment_id = %s ORDER BY updated_at DESC LIMIT 1",
            begun.deployment_id,
        )
        said: datetime = row["updated_at"]
        return Taken(begun.deployment_id, said.timestamp())

    def _bad(self) -> str:
        if self._broken is None:
            self._broken = str(self._app.ship(spec=SPEC, fault="errors:50", **CANARY).deployment["build_id"])
        return self._broken

    def _post(self, deployment_id: str, action: str) -> Taken:
        said_at = time.time()
        answer = self._app.api.raw("POST", f"/v1/deployments/{deployment_id}/{action}", json={"reason": "bench"})
        if answer.status_code not in (200, 202):
            raise AssertionError(f"{action} answered {answer.status_code}: {answer.text}")
        return Taken(deployment_id, said_at)

    def _await(self, operation_id: str, status: str) -> None:
        seen = self._app.api.wait(operation_id, 60)
        if seen["status"] != status:
            raise AssertionError(f"operation {operation_id} is {seen['status']}, not {status}: {seen['error']}")

    def _await_analysis(self, deployment_id: str) -> None:
        until(lambda: self._app.api.deployment(deployment_id)["analysis"] is not None, "an analysis", 60)


WAYS: Sequence[tuple[str, Callable[[Bench], Taken]]] = (
    ("a live version, POST rollback", Bench.live),
    ("a canary at 50 %, POST abort", Bench.under_way),
    ("a canary at 50 %, failing verdict", Bench.verdict),
)


def _last_requests(log: Path, offset: int, taken: Sequence[Taken]) -> list[float]:
    """Milliseconds from what was said to the start of the last request of each release; 0: it was before.

    Raises:
        AssertionError: a release had no requests at all, so that nothing was measured.
    """
    last = {one.release_id: one.said_at for one in taken}
    met: set[str] = set()
    for line in _lines(log, offset):
        release_id = str(line.get("cluster") or "").partition("~")[0]
        if release_id in last:
            met.add(release_id)
            last[release_id] = max(last[release_id], int(line["start_ms"]) / 1000)
    if without := last.keys() - met:
        raise AssertionError(f"no user met {len(without)} of {len(last)} releases: there was no load")
    return [(last[one.release_id] - one.said_at) * 1000 for one in taken]


def _lines(log: Path, offset: int) -> Iterator[dict[str, Any]]:
    with log.open("rb") as file:
        file.seek(offset)
        for line in file:
            if line.startswith(b"{") and line.endswith(b"}\n"):
                yield json.loads(line)
