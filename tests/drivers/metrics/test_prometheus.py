"""On a real Prometheus server that scrapes a real target; skipped where none can be had."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.canary.counts import SideCounts, since
from domain.canary.policy import AnalysisPolicy
from domain.errors import DependencyError, TerminalError
from drivers.metrics.prometheus import PrometheusMetrics
from tests.drivers.metrics.conformance import CANARY, PLACE, STABLE, MetricConformance, grown, read, read_until, warm
from tests.support.exposition import QUERIES, Exposition, exporting
from tests.support.prometheus import PrometheusServer, running_prometheus

SELECTOR = '{delivery_release="{{release}}"}'
REQUESTS = f"http_requests_total{SELECTOR}"
BUCKETS = f"http_request_duration_seconds_bucket{SELECTOR}"


def policy(**queries: str | None) -> AnalysisPolicy:
    return AnalysisPolicy.model_validate(
        {"provider": "prometheus", "compare": ["errors"], "prometheus": {**QUERIES, **queries}}
    )


class Scraped:
    """Two releases that export their counters, and the server that collects them."""

    policy = policy()

    def __init__(self, exposition: Exposition, server: PrometheusServer) -> None:
        self.exposition = exposition
        self._server = server
        self.url = server.url
        self.provider = PrometheusMetrics(server.url, trusted=True)

    async def serve(self, release: str, requests: int, *, errors: int = 0, seconds: float = 0.0) -> None:
        self.exposition.serve(release, requests, errors=errors, seconds=seconds)

    async def begin_anew(self) -> None:
        for release in (STABLE, CANARY):
            self.exposition.restart(release)

    async def die(self) -> None:
        self._server.kill()

    async def revive(self) -> None:
        await asyncio.to_thread(self._server.start)


@pytest.fixture(scope="module")
async def source(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scraped]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with exporting() as exposition, running_prometheus(folder, exposition.port) as server:
        scraped = Scraped(exposition, server)
        yield scraped
        await scraped.provider.close()


class TestPrometheus(MetricConformance):
    pass


async def test_both_sides_are_of_the_same_scrape(source: Scraped) -> None:
    await warm(source)
    offset = None
    for _ in range(100):
        source.exposition.serve_all((STABLE, CANARY), 1)
        sides = await read(source)
        difference = sides[STABLE].requests - sides[CANARY].requests
        assert offset in (None, difference)
        offset = difference


async def test_without_start_times_a_counter_that_fell_is_a_gap(source: Scraped) -> None:
    await source.serve(CANARY, 20)
    before = (await read_until(source, lambda now: now[CANARY].requests >= 20))[CANARY]
    await source.begin_anew()
    await source.serve(CANARY, 1)
    await read_until(source, lambda now: now[CANARY].requests == 1)
    (after,) = (await source.provider.read([CANARY], policy(started=None), PLACE)).values()
    assert after.requests < before.requests
    assert since(before.model_copy(update={"epoch": ""}), after) is None


async def test_without_start_times_the_first_requests_are_a_gap_too(source: Scraped) -> None:
    await warm(source)
    unseen, seen = (await source.provider.read(["never-seen", CANARY], policy(started=None), PLACE)).values()
    assert since(SideCounts(epoch=unseen.epoch), seen) is None


async def test_without_buckets_there_is_no_latency(source: Scraped) -> None:
    await warm(source)
    sides = await source.provider.read([CANARY], policy(latency_buckets=None), PLACE)
    assert (sides[CANARY].bounds, sides[CANARY].latencies) == ((), 0)
    assert sides[CANARY].requests > 0


async def test_a_query_may_have_lines_and_comments(source: Scraped) -> None:
    await warm(source)
    sides = await source.provider.read([CANARY], policy(requests=f"sum(\n  {REQUESTS}  # all of them\n) # done"), PLACE)
    assert sides[CANARY].requests > 0


@pytest.mark.parametrize("quote", ['"', "'", "`"])
async def test_a_release_id_never_ends_the_string_it_stands_in(source: Scraped, quote: str) -> None:
    await warm(source)
    hostile = f"x{quote}}}) or sum(http_requests_total) #\\"
    requests = f"sum(http_requests_total{{delivery_release={quote}{{{{release}}}}{quote}}})"
    sides = await source.provider.read([hostile], policy(requests=requests, errors=f"{requests} > 0"), PLACE)
    assert sides[hostile].requests == 0


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ({"requests": REQUESTS}, "requests gave 2 series where one number is needed"),
        ({"errors": f"sum({REQUESTS}) / 7"}, "errors gave .* which is no count; give the counter itself"),
        ({"errors": f"sum({REQUESTS}) * 0 / 0"}, "errors gave nan, which is no count"),
        ({"errors": f"sum({REQUESTS}) - 1e9"}, "errors gave -1e"),
        ({"errors": f"sum({REQUESTS}) / 0"}, "errors gave inf"),
        ({"errors": f"sum({REQUESTS}) + 1"}, "more than the .* requests that they are to be part of"),
        ({"latency_buckets": f"sum({BUCKETS})"}, "latency_buckets gave a series without a number in the label le"),
        ({"latency_buckets": '{__name__=~".*_bucket|.*_count", delivery_release="{{release}}"}'}, "label le"),
        ({"latency_buckets": f'{BUCKETS[:-1]}, le!="+Inf"}}'}, r'no bucket le="\+Inf"'),
        ({"latency_buckets": f"{BUCKETS} * -1 + on() group_left() sum({BUCKETS})"}, "latency_buckets .* cumulative"),
        ({"requests": f"sum({REQUESTS})) or sum by (status) ({REQUESTS}"}, "needed|not asked for"),
        ({"requests": f'x{SELECTOR}, "a", "b", "", ""), "a", "b", "", "") or ({REQUESTS}) #'}, "understand|asked for"),
    ],
)
async def test_what_is_no_count_is_refused_in_words(source: Scraped, queries: dict[str, str], words: str) -> None:
    before = await warm(source)
    await source.serve(CANARY, 9, errors=2, seconds=0.05)
    await read_until(source, grown(before, {CANARY: 9}))
    with pytest.raises((DependencyError, TerminalError), match=words):
        await source.provider.read([CANARY], policy(**queries), PLACE)


@pytest.mark.parametrize(
    ("figure", "query"),
    [("errors", f"sum({REQUESTS}"), ("started", f"scalar(sum({REQUESTS}))"), ("latency_buckets", f"frob({BUCKETS})")],
)
async def test_a_query_that_prometheus_does_not_understand_is_named(source: Scraped, figure: str, query: str) -> None:
    with pytest.raises(TerminalError, match=rf"understand analysis\.prometheus\.{figure}: parse error: "):
        await source.provider.read([STABLE, CANARY], policy(**{figure: query}), PLACE)


SCOPE = '{delivery_release="{{organization_id}}"}'
"""Here a tenant has one release only, so that the other one is somebody else's."""


async def test_a_scope_finds_the_tenants_own_series_and_nobody_elses(source: Scraped) -> None:
    await source.serve(CANARY, 5, errors=1)
    await warm(source)
    async with asyncio.timeout(120):
        provider = PrometheusMetrics(source.url, scope=SCOPE)
        for requests in (
            REQUESTS,
            'http_requests_total{delivery_release!="x{{release}}"}',
            f"{REQUESTS} or http_requests_total",
        ):
            greedy = policy(
                requests=f"sum({requests})", errors=f"sum({requests}) * 0", started=None, latency_buckets=None
            )
            mine = await provider.read([STABLE, CANARY], greedy, replace(PLACE, organization_id=STABLE))
            nobody = await provider.read([STABLE, CANARY], greedy, replace(PLACE, organization_id="x"))
            everybody = await source.provider.read([STABLE, CANARY], greedy, PLACE)
            assert 0 < mine[STABLE].requests < everybody[STABLE].requests + everybody[CANARY].requests
            assert (nobody[STABLE].requests, nobody[CANARY].requests) == (0, 0)
        await provider.close()


async def test_without_a_scope_nothing_is_asked_unless_code_is_trusted(source: Scraped) -> None:
    provider = PrometheusMetrics(source.url)
    with pytest.raises(TerminalError, match="DELIVERY_PROMETHEUS_SCOPE"):
        await provider.read([CANARY], policy(), PLACE)
    await provider.close()


async def test_without_a_server_it_is_said_who_can_name_one() -> None:
    provider = PrometheusMetrics("")
    with pytest.raises(TerminalError, match="DELIVERY_PROMETHEUS_URL"):
        await provider.read([CANARY], policy(), PLACE)
    await provider.close()
