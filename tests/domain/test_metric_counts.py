from dataclasses import astuple, replace

from hypothesis import given
from hypothesis import strategies as st

from domain.metric_counts import Counts, Figures, HostUse, machine_use

COUNTS = st.builds(
    Counts,
    requests=st.integers(0, 1000),
    errors=st.integers(0, 1000),
    queries=st.integers(0, 1000),
    cache_hits=st.integers(0, 1000),
    latencies=st.dictionaries(st.integers(-300, 600), st.integers(1, 9), max_size=9),
)


def use(host: str, process: str, cpu_s: float, *, seconds: float = 10, memory_mb: float = 100) -> HostUse:
    return HostUse(process, host, seconds, cpu_s, cores=4, memory_mb_s=memory_mb * seconds, memory_total_mb=1000)


@given(st.lists(COUNTS, max_size=6))
def test_counts_add_up_whatever_the_order(parts):
    one, other = Counts(), Counts()
    for part in parts:
        one.add(part)
    for part in reversed(parts):
        other.add(part)
    assert astuple(one) == astuple(other)
    assert one.requests == sum(part.requests for part in parts)


def test_what_is_made_from_nothing_is_none_and_counts_are_zero():
    figures = Figures.of(Counts())
    assert (figures.api_requests_total, figures.database_query_count, figures.database_slow_queries) == (0, 0, 0)
    assert {figures.api_latency_p50_ms, figures.api_latency_p99_ms, figures.error_rate_percent} == {None}
    assert {figures.cache_hit_rate, figures.cpu_percent, figures.memory_percent} == {None}


def test_only_faults_of_ours_are_errors():
    counts = Counts()
    for status in (200, 302, 404, 429, 499, 500, 503, 504):
        counts.answered(status, 10)
    assert Figures.of(counts).error_rate_percent == 37.5


def test_a_request_that_waited_because_it_was_asked_to_has_no_latency():
    counts = Counts()
    counts.answered(200, None)
    counts.answered(200, 20.0)
    figures = Figures.of(counts)
    assert (figures.api_requests_total, figures.api_latency_p99_ms) == (2, 20)


def test_processes_of_one_machine_share_it_and_those_of_two_have_two():
    one = Figures.of(machine_use([use("a", "api", 10), use("a", "worker", 10)]))
    assert (one.cpu_percent, one.memory_percent) == (50, 20)
    two = Figures.of(machine_use([use("a", "api", 10), use("b", "worker", 10)]))
    assert (two.cpu_percent, two.memory_percent) == (25, 10)


def test_a_machine_is_looked_at_as_long_as_its_process_that_was_looked_at_longest():
    found = machine_use([use("a", "api", 5), use("a", "api", 5), use("a", "late", 0)])
    assert (found.cpu_s, found.cpu_capacity_s) == (10, 80)


def test_what_a_process_used_adds_up():
    first = use("a", "api", 5)
    both = first.and_then(replace(first, seconds=30, memory_mb_s=0))
    assert (both.seconds, both.cpu_s, both.memory_mb_s) == (40, 10, 1000)
