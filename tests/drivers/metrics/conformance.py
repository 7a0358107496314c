"""What every metric driver must do. A driver's test module subclasses this and gives a fixture `source`."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import pytest

from domain.canary.counts import SideCounts, since
from domain.canary.metric_scope import MetricsPlace
from domain.canary.policy import AnalysisPolicy
from domain.errors import DependencyError
from drivers.metrics.base import MetricProvider

PLACE = MetricsPlace("acme", "o-1", "shop", "p-1", "dev", "e-1")
STABLE, CANARY, UNUSED = "stable-1", "canary-1", "unused-1"
Sides = Mapping[str, SideCounts]


class Source(Protocol):
    """A real source of figures, with requests that are really counted by it."""

    provider: MetricProvider
    policy: AnalysisPolicy

    async def serve(self, release: str, requests: int, *, errors: int = 0, seconds: float = 0.0) -> None: ...

    async def begin_anew(self) -> None:
        """Counters start at zero again; it serves on."""

    async def die(self) -> None: ...

    async def revive(self) -> None: ...


async def read(source: Source, *releases: str) -> Sides:
    return await source.provider.read(releases or (STABLE, CANARY), source.policy, PLACE)


async def read_until(source: Source, condition: Callable[[Sides], bool]) -> Sides:
    """Sources count some moments late: the first reading that has it."""
    async with asyncio.timeout(120):
        while True:
            sides = await read(source)
            if condition(sides):
                return sides
            await asyncio.sleep(0.05)


def grown(before: Sides, by: Mapping[str, int]) -> Callable[[Sides], bool]:
    """Whether the counters and the buckets have that many requests more."""

    def has_grown(now: Sides) -> bool:
        return all(
            now[release].requests >= before[release].requests + more
            and now[release].latencies >= before[release].latencies + more
            for release, more in by.items()
        )

    return has_grown


async def warm(source: Source) -> Sides:
    """Both releases had requests, and all that they had so far are counted."""
    before = await read(source)
    for release in (STABLE, CANARY):
        await source.serve(release, 1)
    new = grown(before, {STABLE: 1, CANARY: 1})
    return await read_until(source, lambda now: new(now) and all(n.latencies == n.requests for n in now.values()))


class MetricConformance:
    async def test_requests_and_errors_of_both_sides_are_counted_in_one_reading(self, source: Source) -> None:
        before = await warm(source)
        await source.serve(STABLE, 7)
        await source.serve(CANARY, 5, errors=2)
        after = await read_until(source, grown(before, {STABLE: 7, CANARY: 5}))
        assert set(after) == {STABLE, CANARY}
        stable, canary = since(before[STABLE], after[STABLE]), since(before[CANARY], after[CANARY])
        assert (stable.requests, stable.errors, stable.timed) == (7, 0, 7)
        assert (canary.requests, canary.errors, canary.timed) == (5, 2, 5)
        assert after[CANARY].samples == (), "docs/canary-judge.md says that no driver gives any"

    async def test_latency_is_in_rising_cumulative_buckets_of_milliseconds(self, source: Source) -> None:
        before = await warm(source)
        await source.serve(CANARY, 1, seconds=0.25)
        after = await read_until(source, grown(before, {CANARY: 1}))
        window = since(before[CANARY], after[CANARY])
        assert list(window.bounds) == sorted(set(window.bounds))
        assert list(window.at_or_below) == sorted(window.at_or_below)
        within = dict(zip(window.bounds, window.at_or_below, strict=True))
        assert {within[bound] for bound in within if bound < 200} == {0}
        assert within[max(within)] == 1  # a busy machine may take longer than it says

    async def test_a_release_without_requests_is_zeros_and_not_missing(self, source: Source) -> None:
        sides = await read(source, UNUSED, CANARY)
        assert (sides[UNUSED].requests, sides[UNUSED].errors, sides[UNUSED].latencies) == (0, 0, 0)

    async def test_without_new_requests_nothing_has_happened(self, source: Source) -> None:
        before = await warm(source)
        after = await read(source)
        assert since(before[CANARY], after[CANARY]).requests == 0

    async def test_counters_that_began_anew_are_a_gap(self, source: Source) -> None:
        before = await warm(source)
        await source.begin_anew()
        await source.serve(CANARY, before[CANARY].requests + 5)
        await source.serve(STABLE, 1)
        more = {release: SideCounts() for release in (STABLE, CANARY)}
        after = await read_until(source, grown(more, {CANARY: before[CANARY].requests + 5}))
        assert after[CANARY].requests > before[CANARY].requests, "by the counts alone it cannot be seen"
        assert since(before[CANARY], after[CANARY]) is None

    async def test_a_dead_source_says_so_in_time_and_works_again_when_it_is_back(self, source: Source) -> None:
        await source.die()
        async with asyncio.timeout(120):
            with pytest.raises(DependencyError):
                await read(source)
        await source.revive()
        await warm(source)
