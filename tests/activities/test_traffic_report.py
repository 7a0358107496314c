"""A deployment's figures are those of its clients, not of the engine that looks at it."""

from activities.probes import Probe
from activities.traffic import report_of
from drivers.routers.base import TrafficCounters

GOOD = Probe(healthy=True, words="", release_id="new", status=200)
BAD = Probe(healthy=False, words="", release_id="new", status=500)
ELSEWHERE = Probe(healthy=True, words="", release_id="old", status=200)


def counted(requests: int, errors: int = 0, epoch: str = "1") -> list[TrafficCounters]:
    return [
        TrafficCounters(
            release_id="new",
            epoch=epoch,
            requests=requests,
            errors_5xx=errors,
            resets=0,
            latency_buckets={10.0: requests, float("inf"): requests},
        )
    ]


def test_probes_are_not_counted_as_clients():
    report = report_of([GOOD] * 9 + [BAD], counted(100), counted(130, errors=3), 10)
    assert (report.probes, report.requests, report.error_rate_percent, report.throughput_rps) == (10, 20, 10.0, 2.0)


def test_without_clients_nothing_is_claimed():
    report = report_of([GOOD] * 8 + [BAD], counted(100), counted(109, errors=1), 10)
    assert (report.requests, report.error_rate_percent, report.p95_response_time_ms) == (0, None, None)


def test_a_probe_that_another_release_answered_was_not_counted_here():
    assert report_of([GOOD, ELSEWHERE], counted(0), counted(11), 10).requests == 10


def test_counters_that_began_anew_say_nothing():
    assert report_of([GOOD], counted(100), counted(50, epoch="2"), 10).requests == 0
