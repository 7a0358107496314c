"""A look at a tree with very many mappings, pages or processes goes on at the next turn: counted, not timed."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.shim import proc
from drivers.shim.disk import DiskWatch
from drivers.shim.memory import MemoryWatch

MAPPINGS = 2000
MIB = 1024 * 1024


@contextmanager
def many_mappings() -> Iterator[None]:
    """Neighbours of different rights, which the kernel cannot join."""
    kinds = (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE)
    made = [mmap.mmap(-1, mmap.PAGESIZE, prot=kinds[number % 2]) for number in range(MAPPINGS)]
    try:
        yield
    finally:
        for each in made:
            each.close()


def test_whoever_reads_mappings_may_look_at_the_clock_between_them() -> None:
    with many_mappings():
        pauses = sum(found is None for found in proc.deleted_mappings(os.getpid()))
    assert pauses >= MAPPINGS // 64


def test_the_disks_watch_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them belong to processes that hold nothing else."""
    at = 0.0

    def clock() -> float:
        nonlocal at
        at += 1.0  # every look at the clock finds that its time is over
        return at

    looked: list[int] = []

    def mappings(pid: int) -> Iterator[None]:
        looked.append(pid)
        yield from [None] * 64

    monkeypatch.setattr(proc, "unnamed_files", lambda *_, **__: iter(()))
    monkeypatch.setattr(proc, "deleted_mappings", mappings)
    monkeypatch.setattr("drivers.shim.disk.time.monotonic", clock)
    watch = DiskWatch([str(tmp_path)], MIB)
    pids = list(range(100))
    turns = 0
    while looked != pids:
        assert not watch.exceeded(pids)
        turns += 1
        assert len(looked) <= turns, "one a turn at most"


@pytest.mark.parametrize(("each", "too_much"), [(10, False), (30, True)])
def test_a_tree_is_weighed_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch, *, each: int, too_much: bool) -> None:
    """A thousand processes that share a lot: what is resident of them says little."""
    weighed: list[int] = []

    def weight(pid: int) -> tuple[int, int]:
        weighed.append(pid)
        return each, 0

    monkeypatch.setattr("drivers.shim.memory._TURN_S", -1.0)
    monkeypatch.setattr(proc, "resident_bytes", lambda pids: 100 * len(pids))
    monkeypatch.setattr(proc, "proportional_bytes", weight)
    watch = MemoryWatch(20 * 1000, kernel_counts=True)
    pids = list(range(1000))
    verdicts = [watch.exceeded(pids) for _ in range(1001)]
    assert len(weighed) <= 1000, "one a turn"
    assert any(verdicts) == too_much
    if too_much:
        assert verdicts.index(True) == 20_000 // 30, "as soon as it is certain"
    else:
        assert watch.used == 10 * 1000, "what it takes of its owner's share"


def test_memory_that_is_not_too_much_is_weighed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed: list[int] = []
    monkeypatch.setattr(proc, "resident_bytes", lambda _: 200 * MIB)
    monkeypatch.setattr(proc, "proportional_bytes", lambda pid: weighed.append(pid) or (50 * MIB, 0))
    watch = MemoryWatch(1000 * MIB, kernel_counts=True)
    assert not any(watch.exceeded([1, 2]) for _ in range(50))
    assert weighed == [1, 2]
    assert watch.used == 100 * MIB
