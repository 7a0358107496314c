"""How long users still meet a bad release: from the API call that rolls it back to its last request."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.load_process import load_on
from tests.support.platform import App, Platform

RPS = 1000
# The old release stays up beside the new one, as it does for the first thirty seconds by default.
SPEC = {"service": {"replicas": 2}, "rollout": {"scale_down_delay": 60, "verify_seconds": 0.5}}


def rollback_times(platform: Platform, rounds: int) -> list[float]:
    """Milliseconds from each rollback's call to the start of the last request that the bad release got."""
    app = platform.app("rollbacks")
    app.ship_good(spec=SPEC)
    log = platform.stack.data_dir / "logs" / "ingress.log"
    with load_on(app.service, rps=RPS):
        return [_one(platform, app, log) for _ in range(rounds)]


def _one(platform: Platform, app: App, log: Path) -> float:
    bad = app.ship_good(spec=SPEC).deployment["id"]
    asked = time.time()
    offset = log.stat().st_size
    answer = platform.api.raw("POST", f"/v1/deployments/{bad}/rollback", json={"reason": "bench"})
    assert answer.status_code == 200, answer.text
    time.sleep(2.5)  # the access log is written once a second
    starts = [int(line["start_ms"]) / 1000 for line in _lines(log, offset) if line.get("cluster", "").startswith(bad)]
    return max(0.0, (max(starts, default=asked) - asked) * 1000)


def _lines(log: Path, offset: int) -> Iterator[dict[str, Any]]:
    with log.open("rb") as file:
        file.seek(offset)
        for line in file:
            if line.startswith(b"{") and line.endswith(b"}\n"):
                yield json.loads(line)
