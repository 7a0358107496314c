"""What a load run saw: one record a request, and the numbers people ask for."""

from collections import Counter
from dataclasses import asdict, dataclass

MAX_EXAMPLES = 20
NO_RELEASE = "-"


@dataclass(frozen=True, slots=True)
class Record:
    """One request.

    Attributes:
        scheduled_s: when it was due, in seconds since the start of the run.
        latency_ms: from when it was due (not from when it was sent) to the end of the answer.
        status: of the answer; None when there was none.
        release: the `x-delivery-release` header of the answer, "-" without one.
        error: why there was no answer; empty when there was one.
    """

    scheduled_s: float
    latency_ms: float
    status: int | None
    release: str = NO_RELEASE
    error: str = ""

    @property
    def failed(self) -> bool:
        """Everything but a 2xx or 3xx."""
        return self.status is None or not 200 <= self.status < 400


@dataclass(frozen=True)
class Summary:
    """A run in numbers. Latencies are milliseconds of the answered requests; `examples` are some failures."""

    requests: int
    failures: int
    seconds: float
    achieved_rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    statuses: dict[str, int]
    releases: dict[str, int]
    examples: list[dict[str, object]]


def percentile(ordered: list[float], percent: float) -> float:
    """Nearest rank on sorted values; 0 for none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def summarize(records: list[Record], seconds: float) -> Summary:
    """The numbers of a run that scheduled requests over `seconds`."""
    ordered = sorted(r.latency_ms for r in records if r.status is not None)
    failures = [r for r in records if r.failed]
    return Summary(
        requests=len(records),
        failures=len(failures),
        seconds=round(seconds, 3),
        achieved_rps=round(len(records) / seconds, 1) if seconds else 0.0,
        p50_ms=round(percentile(ordered, 50), 2),
        p95_ms=round(percentile(ordered, 95), 2),
        p99_ms=round(percentile(ordered, 99), 2),
        max_ms=round(ordered[-1], 2) if ordered else 0.0,
        statuses=dict(Counter(str(r.status or r.error) for r in records)),
        releases=dict(Counter(r.release for r in records if r.status is not None)),
        examples=[asdict(r) for r in failures[:MAX_EXAMPLES]],
    )
