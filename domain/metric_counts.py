"""Counters of the API for some time, by process, organization or in total: all of them can be added up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from domain.latencies import add_bins, bin_of, percentiles

PERCENT = 100
PERCENTILES = (50, 95, 99)


@dataclass
class Counts:
    """Cumulative sums.

    Attributes:
        requests: answered ones.
        errors: requests with a status from 500 on.
        queries: statements sent to the database.
        slow_queries: queries slower than the setting.
        cache_hits: cache hits of the API.
        cache_misses: cache misses of the API.
        cpu_s: CPU seconds used by our processes.
        cpu_capacity_s: CPU seconds available on their machines.
        memory_mb_s: memory of our processes, in MiB times seconds.
        memory_capacity_mb_s: those that their machines had.
        latencies: requests by the bin of their latency (`domain.latencies`).
    """

    requests: int = 0
    errors: int = 0
    queries: int = 0
    slow_queries: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cpu_s: float = 0.0
    cpu_capacity_s: float = 0.0
    memory_mb_s: float = 0.0
    memory_capacity_mb_s: float = 0.0
    latencies: dict[int, int] = field(default_factory=dict)

    def answered(self, status: int, milliseconds: float | None) -> None:
        """Count a request. `milliseconds`: None for a long poll, whose latency does not count."""
        self.requests += 1
        if status >= 500:  # noqa: PLR2004 - the first of HTTP's server errors
            self.errors += 1
        if milliseconds is not None:
            each = bin_of(milliseconds)
            self.latencies[each] = self.latencies.get(each, 0) + 1

    def add(self, other: "Counts") -> None:
        """Add the counts of another process, organization or time."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        add_bins(self.latencies, other.latencies)

    def take_use(self, other: "Counts") -> None:
        """Take over the resource usage of other counts."""
        for name in USES:
            setattr(self, name, getattr(other, name))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return not any(getattr(self, name) for name in SUMS)


USES = ("cpu_s", "cpu_capacity_s", "memory_mb_s", "memory_capacity_mb_s")
SUMS = ("requests", "errors", "queries", "slow_queries", "cache_hits", "cache_misses", *USES)
"""All fields except the sketch."""


@dataclass(frozen=True)
class Figures:
    """The metrics under the contract's names. Values without a basis (no requests, no lookups) are None.

    Latencies are whole milliseconds, as in the contract, at least 1.
    """

    api_requests_total: int
    api_latency_p50_ms: int | None
    api_latency_p95_ms: int | None
    api_latency_p99_ms: int | None
    error_rate_percent: float | None
    database_query_count: int
    database_slow_queries: int
    cache_hit_rate: float | None
    cpu_percent: float | None
    memory_percent: float | None

    @classmethod
    def of(cls, counts: Counts, known: Sequence[float | None] | None = None) -> "Figures":
        """From sums; `known`: their percentiles, if already computed."""
        found = percentiles(counts.latencies, PERCENTILES) if known is None else known
        p50, p95, p99 = (None if one is None else max(1, round(one)) for one in found)
        return cls(
            api_requests_total=counts.requests,
            api_latency_p50_ms=p50,
            api_latency_p95_ms=p95,
            api_latency_p99_ms=p99,
            error_rate_percent=share(counts.errors, counts.requests),
            database_query_count=counts.queries,
            database_slow_queries=counts.slow_queries,
            cache_hit_rate=share(counts.cache_hits, counts.cache_hits + counts.cache_misses),
            cpu_percent=share(counts.cpu_s, counts.cpu_capacity_s),
            memory_percent=share(counts.memory_mb_s, counts.memory_capacity_mb_s),
        )


def share(part: float, whole: float) -> float | None:
    """Percent, at most 100; None if the whole is 0."""
    return None if whole <= 0 else round(min(PERCENT * part / whole, PERCENT), 2)


@dataclass(frozen=True)
class HostUse:
    """One process's usage of its machine between two flushes."""

    process: str
    host: str
    seconds: float
    cpu_s: float
    cores: float
    memory_mb_s: float
    memory_total_mb: float

    def and_then(self, later: "HostUse") -> "HostUse":
        """The sum of two usages of the same process."""
        return replace(
            later,
            seconds=self.seconds + later.seconds,
            cpu_s=self.cpu_s + later.cpu_s,
            memory_mb_s=self.memory_mb_s + later.memory_mb_s,
        )


def machine_use(uses: Iterable[HostUse]) -> Counts:
    """The usage of all processes within one minute; each machine's capacity counts once.

    A machine's observed time is the longest of its processes.
    """
    found = Counts()
    watched: dict[str, dict[str, float]] = {}
    sizes: dict[str, tuple[float, float]] = {}
    for use in uses:
        sizes[use.host] = use.cores, use.memory_total_mb
        found.cpu_s += use.cpu_s
        found.memory_mb_s += use.memory_mb_s
        processes = watched.setdefault(use.host, {})
        processes[use.process] = processes.get(use.process, 0.0) + use.seconds
    for host, processes in watched.items():
        seconds, (cores, memory_total_mb) = max(processes.values()), sizes[host]
        found.cpu_capacity_s += seconds * cores
        found.memory_capacity_mb_s += seconds * memory_total_mb
    return found


@dataclass(frozen=True)
class Increment:
    """The counts of a process from `age_s` seconds ago; of all organizations if `organization_id` is None."""

    organization_id: UUID | None
    age_s: float
    counts: Counts
    use: HostUse | None = None
