"""Time, memory, output, a full disk, and deaths in a row."""

import asyncio
import itertools
import os
import shlex
import shutil
import sys
from pathlib import Path

from drivers.shim import client
from drivers.shim.log import CappedLog
from tests.drivers.shim.helpers import DAEMON, marker, run, running, shell, started, until, with_argument


async def test_a_timeout_ends_grandchildren_and_daemons(state: Path) -> None:
    mark = marker()
    script = f"{DAEMON.format(mark=mark)}; (sleep {mark} & sleep {mark})"
    ended = await run(state, script, timeout_s=0.3)
    assert (ended.reason, ended.code) == ("timeout", 137)
    assert running(mark) == []


async def test_output_that_is_too_long_loses_its_middle(state: Path) -> None:
    ended = await run(state, "echo first; seq 100000; echo last; exit 3", log_max_bytes=100_000)
    assert (ended.reason, ended.code) == ("exited", 3)
    text = (state.parent / "log").read_text()
    assert text.startswith("first\n1\n2\n")
    assert text.endswith("\n100000\nlast\n")
    assert 99_000 < len(text) < 100_100
    before, after = text.split("\n[... ")
    missing, _, kept = after.partition(" bytes of output left out here ...]\n")
    assert len(before) + int(missing) + len(kept) == len("first\nlast\n") + sum(len(f"{n}\n") for n in range(1, 100001))


async def test_output_that_just_fits_is_whole(state: Path) -> None:
    await run(state, "head -c 100000 /dev/zero | tr '\\0' x", log_max_bytes=100_000)
    assert (state.parent / "log").read_bytes() == b"x" * 100_000


# Slowly, so that it is seen before the control group's kernel limit, a quarter above, ends one of them.
GROWING = "import time; b = [(bytearray(1_000_000), time.sleep(0.06)) for _ in range(60)]; time.sleep(60)"


async def test_memory_is_counted_over_the_whole_tree(state: Path) -> None:
    hog = f"exec {shlex.quote(sys.executable)} -c '{GROWING}'"
    ended = await run(state, f"({hog}) & ({hog}) & wait", memory_mb=100)
    assert ended.reason == "memory_limit"


async def test_the_log_of_a_service_rotates_and_keeps_two_files(state: Path) -> None:
    ended = await run(state, "yes | head -c 1000000; echo last", log_max_bytes=100_000, on_full_log="rotate")
    assert ended.reason == "exited"
    files = [state.parent / name for name in ("log", "log.1")]
    beside = [state.parent / name for name in ("log.1.times", "log.times")]
    assert sorted(state.parent.glob("log*")) == sorted([*files, *beside])
    assert sum(path.stat().st_size for path in files) <= 100_000
    assert files[0].read_text().endswith("last\n")


def test_more_at_once_than_a_rotated_log_holds_keeps_the_newest(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path / "log"), 20, rotate=True)
    log.write(b"y" * 40 + b"last\n")
    assert (tmp_path / "log").read_bytes() == b"yyyyylast\n"


async def test_a_full_disk_does_not_end_a_service(state: Path) -> None:
    mark = marker()
    script = f"echo a line; exec sleep {mark}"
    async with started(state, script, log_path="/dev/full", on_full_log="rotate"):
        await until(lambda: running(mark), "it goes on")
        assert client.status(state).child_pid == running(mark)[0]


async def test_a_full_disk_fails_a_build_with_its_reason(state: Path) -> None:
    assert (await run(state, "echo a line; sleep 1000", log_path="/dev/full")).reason == "disk_full"


async def test_deaths_in_a_row_are_counted_and_the_pauses_grow(state: Path) -> None:
    spec = {"restart": True, "backoff_s": 0.05, "backoff_max_s": 0.2}
    async with started(state, "date +%s.%N; exit 3", **spec):
        await until(lambda: client.status(state).restarts >= 4, "four restarts")
        assert client.status(state).last_code == 3
    lines = (state.parent / "log").read_text().splitlines()
    times = [float(line) for line in lines if line[:1].isdigit()]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2), strict=False))
    assert any("again in 0.2 s" in line for line in lines)
    ended = client.status(state).exit
    assert ended is not None
    assert ended.restarts >= 4


async def test_a_stable_run_begins_the_pauses_anew(state: Path) -> None:
    spec = {"restart": True, "backoff_s": 0.05, "stable_s": 0.1}
    async with started(state, "sleep 0.15; exit 3", **spec):
        await until(lambda: client.status(state).restarts >= 3, "three restarts")
    lines = [line for line in (state.parent / "log").read_text().splitlines() if "again" in line]
    assert all("again in 0.05 s" in line for line in lines)


async def test_a_pause_is_seen_and_can_be_stopped(state: Path) -> None:
    spec = shell(state, "exit 3", restart=True, backoff_s=3600, backoff_max_s=3600, stop_timeout_s=3600)
    await client.start(state, spec)
    await until(lambda: client.status(state).last_code == 3, "its first death")
    now = client.status(state)
    assert (now.alive, now.child_pid) == (True, None)
    async with asyncio.timeout(120):
        await client.stop(state)


async def test_limits_of_the_process_are_set(state: Path) -> None:
    await run(state, "ulimit -c; ulimit -n; cat /proc/self/oom_score_adj; nice", open_files=123, niceness=7)
    assert (state.parent / "log").read_text().split() == ["0", "123", "500", str(os.nice(0) + 7)]


# Every link starts the next one and ends: there is always one that was not there a moment ago.
CHAIN = """
import os, sys, time
if os.fork():
    time.sleep(0.01)
    os._exit(0)
os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
"""


async def test_a_crowd_that_renews_itself_is_ended(state: Path) -> None:
    mark = marker()
    argv = [sys.executable, "-I", "-S", "-c", CHAIN, mark]
    ended = await run(state, "", argv=argv, restart=False)
    assert ended.reason == "exited"
    assert with_argument(mark) == []


async def test_a_shim_whose_folder_was_removed_ends_its_process(state: Path) -> None:
    mark = marker()
    await client.start(state, shell(state, f"exec sleep {mark}", restart=True))
    await until(lambda: running(mark), "it runs")
    shutil.rmtree(state)
    await until(lambda: not running(mark), "it ended by itself")


async def test_nothing_of_the_shim_is_open_in_the_process(state: Path) -> None:
    await run(state, "ls /proc/$$/fd")
    assert (state.parent / "log").read_text().split() == ["0", "1", "2"]
