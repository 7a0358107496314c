"""Which rows Envoy refuses is found by halves, and told as soon as it is sure."""

from collections.abc import Sequence

import pytest

from drivers.routers.envoy.refusals import RefusedError, admit


class Envoy:
    """Refuses a file with a negative number in it; its time may be over."""

    def __init__(self, *, puts: int | None = None, refuses_all: bool = False) -> None:
        self.runs: Sequence[int] = ()
        self._left = puts
        self._refuses_all = refuses_all

    async def put(self, items: Sequence[int]) -> None:
        if self._left == 0:
            raise TimeoutError
        self._left = self._left - 1 if self._left else None
        if self._refuses_all or any(item < 0 for item in items):
            raise RefusedError
        self.runs = list(items)


async def test_the_refused_ones_are_found_and_reported_and_all_others_run() -> None:
    envoy, told = Envoy(), list[int]()
    assert await admit([1, -2, 3, -4, -5, 6], envoy.put, told.append) == [-2, -4, -5]
    assert told == [-2, -4, -5]
    assert envoy.runs == [1, 3, 6]


async def test_what_was_found_before_the_time_was_over_is_reported() -> None:
    """One tenant's hundred bad rows: each attempt gets on, instead of all beginning where the first one began."""
    rows, attempts = [-row - 1 for row in range(100)], 0
    while rows:
        found: list[int] = []
        try:
            await admit(rows, Envoy(puts=20).put, found.append)
        except TimeoutError:
            assert found
        rows = [row for row in rows if row not in found]
        attempts += 1
        assert attempts < 50


async def test_nobody_is_to_blame_for_what_is_refused_whatever_is_in_it() -> None:
    told: list[int] = []
    with pytest.raises(RefusedError):
        await admit([1, 2, 3], Envoy(refuses_all=True).put, told.append)
    assert told == []
