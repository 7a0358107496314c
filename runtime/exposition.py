"""The counts of this process in the text format of Prometheus."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

from domain.latencies import Bins, count_until, percentiles, total_ms
from domain.metric_counts import PERCENTILES, Counts
from runtime.meter import Meter
from runtime.process_use import ProcessUse

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

# Seconds: the usual ones of Prometheus' clients.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MS: Final = 1000
MIB: Final = 1024 * 1024


class Backlog(Protocol):
    """What a process counted and has not stored (`runtime.metrics_flush`)."""

    lost: int
    lost_of_all: int
    use: ProcessUse

    @property
    def waiting(self) -> int: ...


class Exposition:
    """A process tells its own: Prometheus adds up. No label names an organization, so their number is fixed.

    Args:
        service: `api` or `worker`.
        meter: that of this process.
        backlog: what of it is not stored.
    """

    def __init__(self, service: str, meter: Meter, backlog: Backlog) -> None:
        self._service = service
        self._meter = meter
        self._backlog = backlog

    def answer(self, accept: str) -> tuple[str, bytes]:
        """Content type and text, as the reader's `Accept` asks."""
        from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415 - slow to load, for who asks only
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - slow to load, for who asks only

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        try:
            encode, kind = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, kind = choose_encoder("")
        return kind, encode(registry)

    def collect(self) -> Iterator["Metric"]:
        """Asked by the registry."""
        from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily  # noqa: PLC0415 - see above

        total = self._meter.total()
        yield InfoMetricFamily("delivery_process", "which process this is", {"service": self._service})
        yield from _counters(total, self._backlog)
        yield _histogram(total.latencies)
        latency = GaugeMetricFamily(
            "delivery_api_latency_seconds", "percentiles of the last five minutes", labels=["quantile"]
        )
        found = percentiles(self._meter.recent().latencies, PERCENTILES)
        for percent, milliseconds in zip(PERCENTILES, found, strict=True):
            latency.add_metric([str(percent / 100)], math.nan if milliseconds is None else milliseconds / MS)
        yield latency
        use = self._backlog.use
        for name, words, value in (
            ("delivery_machine_processors", "that this process may keep busy at once", use.cores),
            (
                "delivery_machine_memory_bytes",
                "that this process's machine, or its control group, has",
                use.memory_mb * MIB,
            ),
            ("delivery_metrics_waiting", "minutes of organizations that are not stored yet", self._backlog.waiting),
        ):
            yield GaugeMetricFamily(name, words, value=value)


def _counters(total: Counts, backlog: Backlog) -> Iterator["Metric"]:
    from prometheus_client.metrics_core import CounterMetricFamily  # noqa: PLC0415 - see above

    for name, words, value in (
        ("delivery_api_requests", "requests that were answered", total.requests),
        ("delivery_api_errors", "of these, with a status from 500 on", total.errors),
        ("delivery_database_queries", "statements sent to the database", total.queries),
        ("delivery_database_slow_queries", "of these, slower than DELIVERY_SLOW_QUERY_MS", total.slow_queries),
        ("delivery_cache_hits", "what was in memory", total.cache_hits),
        ("delivery_cache_misses", "what had to be looked up", total.cache_misses),
        (
            "delivery_metrics_lost_requests",
            "requests not stored: too much waited, or refused",
            backlog.lost + backlog.lost_of_all,
        ),
    ):
        yield CounterMetricFamily(name, words, value=value)


def _histogram(latencies: Bins) -> "Metric":
    from prometheus_client.metrics_core import HistogramMetricFamily  # noqa: PLC0415 - see above

    buckets = [(str(seconds), float(count_until(latencies, seconds * MS))) for seconds in BUCKETS]
    return HistogramMetricFamily(
        "delivery_api_request_duration_seconds",
        "time until answers began",
        buckets=[*buckets, ("+Inf", float(sum(latencies.values())))],
        sum_value=total_ms(latencies) / MS,
    )
