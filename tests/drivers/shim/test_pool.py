"""What the trees of one owner take together: the one with the most ends when it is too much, and nobody else's."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers.shim import client
from drivers.shim.pool import Pool, Used
from tests.drivers.shim.helpers import started, until

MIB = 1024 * 1024
LIMITS = {"memory": 1000, "disk": 1000, "processes": 100, "files": 100}


class Clock:
    """Both of them."""

    def __init__(self) -> None:
        self.now = time.time()

    def pass_(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("drivers.shim.pool.time", SimpleNamespace(monotonic=made, time=made))
    return made


def pool(folder: Path, name: str) -> Pool:
    return Pool(str(folder), name, LIMITS)


@pytest.mark.parametrize("what", ["memory", "disk", "processes", "files"])
def test_the_one_with_the_most_is_reported(tmp_path: Path, clock: Clock, what: str) -> None:
    large, small = pool(tmp_path, "large"), pool(tmp_path, "small")
    limit = LIMITS[what]
    assert small.exceeded(Used(**{what: limit // 3})) is None
    assert large.exceeded(Used(**{what: limit * 2 // 3})) is None
    clock.pass_(2)
    assert small.exceeded(Used(**{what: limit // 3 + 2})) is None, "too much together, but not by this one"
    assert large.exceeded(Used(**{what: limit * 2 // 3})) == what


def test_of_equals_one_alone_is_reported(tmp_path: Path, clock: Clock) -> None:
    pools = [pool(tmp_path, name) for name in "abc"]
    for _ in range(2):
        found = [each.exceeded(Used(memory=400)) for each in pools]
        clock.pass_(2)
    assert found.count("memory") == 1


def test_what_has_left_or_died_counts_no_more(tmp_path: Path, clock: Clock) -> None:
    left, died, lives = (pool(tmp_path, name) for name in ("left", "died", "lives"))
    left.exceeded(Used(memory=500))
    died.exceeded(Used(memory=500))
    assert lives.exceeded(Used(memory=600)) == "memory"
    left.leave()
    clock.pass_(2)
    assert lives.exceeded(Used(memory=600)) == "memory"
    clock.pass_(40)
    assert lives.exceeded(Used(memory=600)) is None


def test_owners_do_not_count_for_each_other(tmp_path: Path, clock: Clock) -> None:
    for owner in ("one", "other"):
        assert pool(tmp_path / owner, "a").exceeded(Used(memory=900)) is None


def test_many_small_ones_are_found_too_and_seldom_look(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(Pool, "_others", lambda self, real=Pool._others: looks.append(self._name) or real(self))
    pools = [pool(tmp_path, f"{number:03}") for number in range(30)]
    found: list[str | None] = []
    for _ in range(30):  # seconds and a bit
        found += [each.exceeded(Used(memory=40)) for each in pools]
        clock.pass_(1.1)
    assert "memory" in found
    assert len(looks) <= 30 * 4
    looks.clear()
    idle = pool(tmp_path, "idle")
    for _ in range(30):
        idle.exceeded(Used(memory=1))
        clock.pass_(1.1)
    assert looks == []


def test_a_full_disk_or_nonsense_in_the_folder_is_no_trouble(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "nonsense").write_text("x")
    (tmp_path / "folder").mkdir()
    assert pool(tmp_path, "a").exceeded(Used(memory=900)) is None
    (tmp_path / "file").touch()
    assert pool(tmp_path / "file" / "below", "a").exceeded(Used(memory=900)) is None


async def test_a_tree_that_takes_its_owners_share_is_ended_and_the_others_live(state: Path) -> None:
    """Each of them takes less than it may alone."""
    holds = "import sys, time; heap = bytearray(int(sys.argv[1]) << 20); time.sleep(1000)"
    common = {
        "memory_mb": 1000,
        "pool": str(state.parent / "pool"),
        "pool_limits": {"memory": 250 * MIB},
    }
    small, large = state.with_name("small"), state.with_name("large")

    def argv(mib: int) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", holds, str(mib)]

    async with started(small, "", argv=argv(90), **common):
        await until(lambda: any((state.parent / "pool").glob("*")), "the first one is known", 60)
        async with started(large, "", argv=argv(200), **common):
            await until(lambda: client.status(large).exit, "the end of the larger one")
            ended = client.status(large).exit
            assert ended is not None
            assert ended.reason == "memory_quota"
            assert client.status(small).alive
    assert list((state.parent / "pool").iterdir()) == []
