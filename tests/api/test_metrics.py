"""What GET /v1/metrics tells: to each organization of its own requests, to platform admins of all."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete

from api.app import create_app
from api.services.metrics import MetricsReader
from domain.latencies import bin_of
from domain.metric_counts import Counts
from domain.metric_windows import Aggregation, TimeRange, beginning
from domain.permissions import Role
from reconcilers.metric_rollup import MetricRollup
from runtime.exposition import Exposition
from runtime.ids import new_id, now
from runtime.internal_port import MOST_AT_ONCE, internal_port
from runtime.meter import Meter
from runtime.metrics_flush import MetricsFlush
from runtime.settings import Settings
from storage.engine import Sessions, transaction
from storage.metrics_store import MetricsStore
from storage.models import MetricIncrement
from storage.models import MetricRollup as RollupRow
from storage.repositories.metric_rollups import MetricRollups
from tests.api.conftest import Caller, RecordedOperations, World

SUMS = ("api_requests_total", "database_query_count", "database_slow_queries")
RATES = {
    *("api_latency_p50_ms", "api_latency_p95_ms", "api_latency_p99_ms"),
    *("error_rate_percent", "cache_hit_rate", "cpu_percent", "memory_percent"),
}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """The application's own flush comes at no moment of a test; it stores at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetricsFlush, "interval_s", 1e6)
        patch.setattr("runtime.metrics_flush.LAST_FLUSH_S", 120)
        yield


@pytest.fixture
def stored(app: FastAPI, rows: Sessions):
    """Stores what this process counted, now."""
    flush = MetricsFlush(MetricsStore(rows), app.state.parts.meter)

    async def store() -> None:
        await flush.reconcile()

    return store


@pytest.fixture
async def member(platform: Caller, caller) -> Caller:
    """Of an organization that nobody has asked anything for."""
    org = await platform.made("/organizations", {"name": "New", "slug": f"new-{new_id().hex[-8:]}"})
    return caller(Role.VIEWER, org["id"])


@pytest.fixture(autouse=True)
async def fresh(app: FastAPI, rows: Sessions, monkeypatch) -> None:
    """Answers are not kept for a second."""
    monkeypatch.setattr(app.state.parts.metrics, "_answers", MetricsReader(rows, keep_s=0)._answers)


async def told(who: Caller, **asked: str) -> dict[str, Any]:
    response = await who.get("/metrics", params=asked)
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def test_a_member_is_told_of_the_organizations_own_requests(member, other_world, stored):
    for _ in range(3):
        assert (await member.get("/projects/" + str(new_id()))).status_code == 404
    assert (await other_world.developer.get("/users/me")).status_code == 200
    await stored()
    found = await told(member)
    assert found["organization_id"] is not None
    assert found["metrics"]["api_requests_total"] == 3
    assert found["metrics"]["database_query_count"] >= 3
    assert found["metrics"]["error_rate_percent"] == 0
    assert found["metrics"]["api_latency_p50_ms"] <= found["metrics"]["api_latency_p99_ms"]
    assert 0 <= found["metrics"]["cpu_percent"] <= 100
    assert 0 < found["metrics"]["memory_percent"] <= 100


async def test_a_platform_admin_is_told_of_all_and_of_strangers(*, app, platform, member, stored):
    await stored()
    before = (await told(platform))["metrics"]["api_requests_total"]
    await member.get("/users/me")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test/v1") as nobody:
        assert (await nobody.get("/users/me")).status_code == 401
        assert (await nobody.get("/metrics")).status_code == 401
        assert (await nobody.get("/livez")).status_code == 200  # load balancers ask that all the time
    await stored()
    found = await told(platform)
    assert found["organization_id"] is None
    assert found["metrics"]["api_requests_total"] == before + 4  # with the question before
    assert (await told(member))["metrics"]["api_requests_total"] == 1


async def test_a_member_who_asks_for_anothers_things_counts_for_their_own_organization(member, world, stored):
    assert (await member.get(f"/projects/{world.project['id']}")).status_code == 404
    await stored()
    assert (await told(member))["metrics"]["api_requests_total"] == 1


async def test_it_needs_its_permission(caller, world, platform):
    refused = await caller(Role.ADMIN, world.org["id"], cut={"metrics:read"}).get("/metrics")
    assert refused.status_code == 403
    assert "metrics:read" in refused.json()["error"]["message"]


async def test_who_belongs_to_no_organization_is_not_told_of_all(app, rows, caller, world):
    parts = app.state.parts
    stray = parts.verifier.verify(caller(Role.VIEWER, world.org["id"]).token)
    object.__setattr__(stray, "organization_id", None)
    with pytest.raises(Exception, match="you are in none"):
        await parts.metrics.of(stray, TimeRange.HOUR, Aggregation.MINUTE)


async def test_without_data_counts_are_zero_and_what_is_made_from_them_is_null(member, rows):
    async with transaction(rows) as session:
        for model in (MetricIncrement, RollupRow):
            await session.execute(delete(model))
    found = await told(member, time_range="24h", aggregation="1h")
    assert found["metrics"] == dict.fromkeys(SUMS, 0) | dict.fromkeys(RATES)
    assert len(found["series"]) == 25
    assert all(point == found["metrics"] | {"timestamp": point["timestamp"]} for point in found["series"])


@pytest.mark.parametrize(
    ("time_range", "aggregation", "points"),
    [("1h", "1m", 60), ("1h", "1h", 2), ("6h", "5m", 73), ("24h", "1m", 1440), ("7d", "5m", 2016), ("30d", "1h", 720)],
)
async def test_the_series_has_every_step_of_the_range(member, time_range, aggregation, points):
    found = await told(member, time_range=time_range, aggregation=aggregation)
    assert (found["time_range"], found["aggregation"]) == (time_range, aggregation)
    assert points - 1 <= len(found["series"]) <= points + 1
    times = [datetime.fromisoformat(point["timestamp"]) for point in found["series"]]
    assert times == sorted(set(times))
    assert times[-1] <= datetime.fromisoformat(found["timestamp"])


async def test_the_finest_aggregation_that_fits_is_the_default(member):
    found = [(await told(member, time_range=each))["aggregation"] for each in ("1h", "6h", "24h", "7d", "30d")]
    assert found == ["1m", "1m", "1m", "5m", "1h"]


@pytest.mark.parametrize(("time_range", "aggregation"), [("7d", "1m"), ("30d", "1m"), ("30d", "5m")])
async def test_an_aggregation_too_fine_is_refused_and_told_what_would_do(member, time_range, aggregation):
    refused = await member.get("/metrics", params={"time_range": time_range, "aggregation": aggregation})
    assert refused.status_code == 422
    assert "aggregation=" in refused.json()["error"]["message"]


@pytest.mark.parametrize("asked", [{"time_range": "2h"}, {"aggregation": "10m"}, {"time_range": ""}, {"since": "x"}])
async def test_what_is_no_choice_is_refused(member, asked):
    assert (await member.get("/metrics", params=asked)).status_code == 400


async def test_totals_and_series_are_the_same_before_and_after_rolling_up(member, rows, stored):
    for _ in range(5):
        await member.get("/users/me")
    await stored()
    before = await told(member)
    await MetricRollup(rows, settled=timedelta(days=-1)).reconcile()
    after = await told(member)
    counted = [one["api_requests_total"] for one in after["series"]]
    assert sum(counted) == 5 == after["metrics"]["api_requests_total"]
    for name in {*SUMS, *RATES} - {"cpu_percent", "memory_percent", *SUMS[1:], "cache_hit_rate"}:
        assert before["metrics"][name] == after["metrics"][name]
    assert (await told(member, time_range="7d"))["metrics"]["api_requests_total"] >= 5
    assert (await told(member, time_range="30d"))["metrics"]["api_requests_total"] >= 5


async def test_what_is_older_than_the_range_is_no_part_of_the_totals(member, rows):
    org = UUID((await told(member))["organization_id"])
    minute = beginning(now() - timedelta(hours=3), timedelta(minutes=1))
    hour = beginning(minute, timedelta(hours=1))
    counts = Counts(requests=9, latencies={bin_of(20): 9})
    async with transaction(rows) as session:
        await MetricRollups(session).add({(org, 60, minute): counts, (org, 3600, hour): counts})
    assert (await told(member, time_range="1h"))["metrics"]["api_requests_total"] == 0
    six = await told(member, time_range="6h", aggregation="1h")
    assert (six["metrics"]["api_requests_total"], six["metrics"]["api_latency_p95_ms"]) == (9, 20)
    [point] = [one for one in six["series"] if one["api_requests_total"]]
    assert (datetime.fromisoformat(point["timestamp"]), point["api_latency_p50_ms"]) == (hour, 20)


async def test_a_failing_answer_is_an_error_and_a_wait_that_was_asked_for_has_no_latency(app, member, monkeypatch):
    meter: Meter = app.state.parts.meter
    org = UUID((await told(member))["organization_id"])
    before = meter.of(org).requests

    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(app.state.parts.metrics, "of", fail)
    assert (await member.get("/metrics")).status_code == 500
    assert (meter.of(org).requests, meter.of(org).errors) == (before + 1, 1)


async def test_two_api_processes_add_up(
    *, app: FastAPI, settings: Settings, recorder: RecordedOperations, member: Caller, stored
):
    """Two applications with a meter and a flush each, on one database; the other one stores its counts at its end."""
    other = create_app(settings, make_operations=lambda _: recorder)
    async with other.router.lifespan_context(other):
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=other),
            base_url="http://api.test/v1",
            headers={"Authorization": f"Bearer {member.token}"},
        )
        for _ in range(3):
            assert (await client.get("/users/me")).status_code == 200
    await member.get("/users/me")
    await stored()
    assert (await told(member))["metrics"]["api_requests_total"] == 4


@asynccontextmanager
async def listening(app: FastAPI, free_port, world: World) -> AsyncIterator[str]:
    meter: Meter = app.state.parts.meter
    flush = MetricsFlush(MetricsStore(app.state.parts.sessions), meter)
    await world.developer.get("/users/me")
    async with internal_port("127.0.0.1", free_port(), Exposition("api", meter, flush)) as port:
        yield f"http://127.0.0.1:{port}"


async def test_prometheus_reads_the_same_numbers_from_the_internal_port(*, app, free_port, world):
    async with listening(app, free_port, world) as url, httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
            answer = await client.get(f"{url}/metrics", headers={"Accept": accept})
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(accept.split(";")[0])
        odd = await client.get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=new"})
        assert (odd.status_code, odd.headers["content-type"].split(";")[0]) == (200, "text/plain")
        before = app.state.parts.meter.total()
        answer = await client.get(f"{url}/metrics", headers={"Accept": "text/plain"})
        text, total = answer.text, app.state.parts.meter.total()
        assert (await client.get(f"{url}/v1/projects")).status_code == 404
        assert (await client.post(f"{url}/metrics")).status_code == 405
        head = await client.head(f"{url}/metrics")
        assert (head.status_code, head.content) == (200, b"")
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }
    assert found["delivery_api_requests_total"] == total.requests > 0
    assert found["delivery_api_errors_total"] == total.errors
    # The application's own loops ask the database at any moment.
    assert 0 < before.queries <= found["delivery_database_queries_total"] <= total.queries
    assert found["delivery_cache_hits_total"] == total.cache_hits
    assert found["delivery_api_request_duration_seconds_count"] == sum(total.latencies.values())
    assert found["process_cpu_seconds_total"] > 0 < found["process_resident_memory_bytes"]
    assert found["process_resident_memory_bytes"] < found["delivery_machine_memory_bytes"]
    assert all(str(one.org["id"]) not in text for one in (world,))
    names = {name for family in text_string_to_metric_families(text) for one in family.samples for name in one.labels}
    assert names == {"le", "quantile", "service"}


async def test_the_public_port_has_no_text_for_prometheus(platform):
    assert (await platform.http.get("http://api.test/metrics")).status_code == 404


async def test_who_is_silent_on_the_internal_port_keeps_nobody_out(monkeypatch, free_port):
    monkeypatch.setattr("runtime.internal_port.LIMIT_S", 0.5)

    class Words:
        def answer(self, accept: str) -> tuple[str, bytes]:
            return "text/plain", b"x" * 10_000_000

    async with internal_port("127.0.0.1", free_port(), Words()) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_AT_ONCE + 2)]
        silent[0][1].write(b"GET /metrics HTTP/1.1\r\n\r\n")  # asks, and does not read
        silent[1][1].write(b"x" * 100_000)
        async with asyncio.timeout(120):
            for reader, _ in silent[2:]:
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await reader.readexactly(1)
        monkeypatch.setattr("runtime.internal_port.LIMIT_S", 60)
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/metrics")).status_code == 200
        for _, writer in silent:
            writer.transport.abort()


async def test_a_port_that_is_taken_stops_nothing_and_the_next_process_takes_the_next(free_port):
    words = object()  # nobody asks
    first = free_port()
    async with (
        internal_port("127.0.0.1", first, words, several=2) as one,
        internal_port("127.0.0.1", first, words) as none,
        internal_port("127.0.0.1", 0, words) as off,
    ):
        assert (one, none, off) == (first, 0, 0)
