"""What of the contract belongs to later issues: it does not exist yet, and a test says so when it begins to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Documents = Mapping[str, Any]


@dataclass(frozen=True)
class Later:
    """One such thing.

    `issue`: the issue that brings it, or what it will be about while it is not filed. `exists` looks at the OpenAPI
    document and at the headers of an ordinary answer.
    """

    what: str
    issue: str
    exists: Callable[[Documents, Mapping[str, str]], bool]


def _path(part: str) -> Callable[[Documents, Mapping[str, str]], bool]:
    return lambda document, _: any(part in path for path in document["paths"])


LATER = (
    Later("GET /metrics", "not filed yet: observability", _path("/metrics")),
    Later("DORA metrics", "not filed yet: observability", _path("/delivery-metrics")),
    Later("vulnerabilities", "not filed yet: security scans", _path("/vulnerabilities")),
    Later("client SDKs", "not filed yet: SDKs", lambda *_: (ROOT / "sdks").exists()),
)
# Endpoints that have a block of their own in the contract, and are not replayed yet.
ENDPOINTS = {"GET /metrics"}
