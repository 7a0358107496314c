"""One tenant's tree against the machine: processes, memory, disk. Each way with and without a control group."""

import itertools
import os
import shlex
import stat
import sys
from pathlib import Path

import pytest

from drivers import sandbox
from drivers.shim import cgroup, client, disk
from drivers.shim.cgroup import Group
from drivers.shim.disk import DiskWatch
from drivers.shim.memory import MemoryWatch
from tests.drivers.shim.helpers import marker, run, running, shell, started, until, with_argument

MIB = 1024 * 1024
# Also in a sandbox.
PYTHON = f"{sys.base_prefix}/bin/python3"
# Each process starts two that do the same, for ever.
BOMB = "import os, sys, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)\n"
# What a child shares with its parent until it is written to.
FORKED = """
import os, time
shared = bytearray(os.urandom(1)) * 60_000_000
children = [pid for _ in range(4) if (pid := os.fork())]
if len(children) < 4:
    time.sleep(1.5)
    os._exit(0)
for child in children:
    os.waitpid(child, 0)
"""


# Files that are in no folder and no table of descriptors.
MAPPED = """
import mmap, os, time
held = []
for number in range(8):
    with open(f"m{number}", "w+b") as file:
        file.write(bytes(4 << 20))
        file.flush()
        held.append(mmap.mmap(file.fileno(), 0))
        os.unlink(f"m{number}")
    os.close(os.dup(0))
time.sleep(60)
"""


@pytest.fixture(params=["control group", "looks alone"])
def groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the machine gives, and as on a machine that gives nothing."""
    if request.param == "control group":
        probe = Group("delivery-probe", tasks=10, memory=None)
        made = bool(probe._folders)
        probe.remove()
        if not made:
            pytest.skip("no control groups can be made here")
    else:
        monkeypatch.setattr(client, "_SHIM", Path(__file__).with_name("shim_without_groups.py"))


# With nobody but the shim to hold it back, for a moment it holds up everything else on the machine.
BOMBS = pytest.mark.parametrize(
    "groups", ["control group", pytest.param("looks alone", marks=pytest.mark.long)], indirect=True
)


@BOMBS
@pytest.mark.usefixtures("groups")
async def test_a_fork_bomb_is_ended_and_named(state: Path) -> None:
    mark = marker()
    argv = [sys.executable, "-I", "-S", "-c", BOMB, mark]
    ended = await run(state, "", argv=argv, processes=100, niceness=10)
    assert ended.reason == "process_limit"
    assert with_argument(mark) == []


@BOMBS
@pytest.mark.usefixtures("groups")
async def test_a_fork_bomb_with_a_session_for_each_process_ends_with_its_namespace(state: Path) -> None:
    """No group holds two of them: the sandbox's init does."""
    if not sandbox.available():
        pytest.skip("no user namespaces here")
    mark = marker()
    wrapper = sandbox.isolated(cwd="/", mounts={})
    bomb = BOMB.replace("os.fork()", "os.fork() or os.setsid()")
    argv = [*wrapper.words, PYTHON, "-I", "-S", "-c", bomb, mark]
    inputs = {name: content.hex() for name, content in wrapper.inputs.items()}
    limits = {"processes": 100, "niceness": 10, "wrapper_levels": wrapper.levels}
    ended = await run(state, "", argv=argv, inputs=inputs, **limits)
    assert ended.reason == "process_limit"
    assert with_argument(mark) == []


async def test_what_goes_on_forking_after_the_end_is_not_too_much(state: Path) -> None:
    """Nothing more may start by then, and that is no fault of the process that ended well."""
    script = "(while :; do sleep 0.001; done) & (while :; do sleep 0.001; done) & exit 0"
    for _ in range(5):
        ended = await run(state, script, processes=50)
        assert (ended.reason, ended.code) == ("exited", 0)


IN_MEMORY = {
    "a memory file": "import os, time; os.write(os.memfd_create('x'), bytes(200 << 20)); time.sleep(60)",
    "shared memory": "import time; open('/dev/shm/x', 'wb').write(bytes(200 << 20)); time.sleep(60)",
}


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("script", IN_MEMORY.values(), ids=IN_MEMORY)
async def test_files_in_memory_count_as_memory(state: Path, script: str) -> None:
    """They belong to no process: without a control group nobody else counts them."""
    if not sandbox.available():
        pytest.skip("no user namespaces here")
    wrapper = sandbox.isolated(cwd="/", mounts={})
    inputs = {name: content.hex() for name, content in wrapper.inputs.items()}
    argv = [*wrapper.words, PYTHON, "-I", "-S", "-c", script]
    ended = await run(state, "", argv=argv, inputs=inputs, memory_mb=60, wrapper_levels=wrapper.levels)
    assert ended.reason == "memory_limit"


async def test_memory_that_is_shared_and_mapped_counts_once(state: Path) -> None:
    script = "import mmap, time; m = mmap.mmap(-1, 40 << 20); m.write(bytes(40 << 20)); time.sleep(1.5)"
    argv = [sys.executable, "-I", "-S", "-c", script]
    assert (await run(state, "", argv=argv, memory_mb=70)).reason == "exited"


# All at once, faster than anybody looks.
HOG = "import sys\nheap = bytearray(300_000_000)\nsys.exit(4)"


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("script", ["exec {hog}", "{hog}; exit 3", "{hog} & wait $!"], ids=["itself", "child", "other"])
async def test_memory_taken_at_one_go_is_named_whoever_of_the_tree_took_it(state: Path, script: str) -> None:
    hog = f"{shlex.quote(sys.executable)} -I -S -c {shlex.quote(HOG)}"
    for _ in range(3):
        ended = await run(state, script.format(hog=hog), memory_mb=60)
        assert ended.reason == "memory_limit"


async def test_threads_count_as_processes(state: Path) -> None:
    script = "import threading, time\nfor _ in range(60): threading.Thread(target=time.sleep, args=(60,)).start()"
    ended = await run(state, "", argv=[sys.executable, "-c", script], processes=50)
    assert ended.reason == "process_limit"


async def test_processors_are_dealt_out(state: Path) -> None:
    probe = Group("delivery-probe", cpus=1)
    made = bool(probe._folders)
    probe.remove()
    if not made:
        pytest.skip("no control groups for processors can be made here")
    busy = "import time; end = time.monotonic() + 3\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    await run(state, "", argv=[sys.executable, "-I", "-S", "-c", busy], cpus=0.1)
    assert float((state.parent / "log").read_text()) < 1


async def test_as_many_processes_as_allowed_may_run(state: Path) -> None:
    ended = await run(state, "for i in 1 2 3 4 5; do sleep 0.6 & done; wait", processes=7)
    assert (ended.reason, ended.code) == ("exited", 0)


async def test_a_service_that_forked_too_much_is_started_again_and_its_reason_seen(state: Path) -> None:
    mark = marker()
    script = f"for i in 1 2 3 4 5 6 7 8; do sleep {mark} & done; wait"
    async with started(state, script, processes=5, restart=True, backoff_s=0.05):
        await until(lambda: client.status(state).restarts >= 2, "two restarts")
        await until(lambda: client.status(state).last_reason == "process_limit", "the reason")
    assert running(mark) == []


async def test_memory_that_forked_processes_share_counts_once(state: Path) -> None:
    argv = [sys.executable, "-c", FORKED]
    ended = await run(state, "", argv=argv, memory_mb=200)  # resident, each for itself: 300
    assert (ended.reason, ended.code) == ("exited", 0)
    longer = [*argv[:-1], FORKED.replace("1.5", "60")]
    assert (await run(state, "", argv=longer, memory_mb=40)).reason == "memory_limit"


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize(
    "fill",
    [
        "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=part$i bs=1M count=4; done; sleep 60",
        "exec 8>a 9>b; rm a b; dd if=/dev/zero bs=1M count=15 >&8; dd if=/dev/zero bs=1M count=15 >&9; sleep 60",
        "seq 6000 | xargs touch; sleep 60",
        f"exec {shlex.quote(sys.executable)} -I -S -c {shlex.quote(MAPPED)}",
        "for i in 1 2 3 4 5 6 7; do fallocate -l 4M part$i; done; sleep 60",
        "mkdir x; for i in 1 2 3 4 5 6 7; do dd if=/dev/zero of=x/$i bs=1M count=4; done; chmod 0 x; sleep 60",
    ],
    ids=["many files", "deleted files", "empty files", "mapped files", "reserved blocks", "a closed folder"],
)
async def test_a_filled_disk_is_ended_and_named(state: Path, fill: str) -> None:
    folder = state.parent / "work"
    folder.mkdir()
    ended = await run(state, fill, cwd=str(folder), disk_mb=20, disk_folders=[str(folder)])
    assert ended.reason == "disk_limit"


async def test_one_file_cannot_grow_beyond_the_limit(state: Path) -> None:
    folder = state.parent / "work"
    folder.mkdir()
    script = "exec dd if=/dev/zero of=big bs=1M count=200"
    ended = await run(state, script, cwd=str(folder), disk_mb=20, disk_folders=[str(folder)])
    assert ended.reason == "disk_limit"
    assert (folder / "big").stat().st_size <= 20 * MIB


async def test_a_service_that_filled_its_scratch_begins_with_an_empty_one(state: Path) -> None:
    folder = state.parent / "work"
    scratch = folder / "tmp"
    scratch.mkdir(parents=True)
    script = "ls tmp; for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=tmp/part$i bs=1M count=4 2>&-; done; sleep 60"
    changes = {"disk_mb": 20, "disk_folders": [str(folder)], "scratch": [str(scratch)]}
    async with started(state, script, cwd=str(folder), restart=True, backoff_s=0.05, **changes):
        await until(lambda: client.status(state).restarts >= 2, "two restarts")
    assert "part" not in (state.parent / "log").read_text()


def test_a_large_folder_is_looked_at_a_little_at_a_time(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"f{number}").touch()
    turns, at = 0, 0.0
    watch = DiskWatch([str(tmp_path)], 3000 * 4096 - 1)

    def clock() -> float:
        nonlocal at
        at += 0.001  # every look at the clock finds a millisecond gone
        return at

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drivers.shim.disk.time.monotonic", clock)
        while not watch.exceeded([]):
            turns += 1
            assert turns < 1000
    assert turns >= 3


def test_links_and_what_vanishes_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 3 * MIB)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    (tmp_path / "around").symlink_to(tmp_path)
    assert not DiskWatch([str(tmp_path), str(tmp_path / "gone")], 5 * MIB).exceeded([1_000_000_000])
    assert DiskWatch([str(tmp_path)], 2 * MIB).exceeded([])


async def test_no_control_group_is_left(state: Path) -> None:
    await run(state, "true", processes=50, memory_mb=100)
    name = cgroup.named(shell(state, "").cookie)
    left = [p for c in ("pids", "memory") for p in cgroup._parents(c) if (Path(p) / name).exists()]
    assert left == []


def test_a_folder_that_becomes_a_link_while_it_is_looked_at_leads_nowhere(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    (ours / "inner").mkdir(parents=True)
    ours.chmod(0o711)
    (theirs / "closed").mkdir(parents=True)
    (theirs / "closed").chmod(0o277)
    really_open = os.open

    def swap(path: str, flags: int, *args: int) -> int:
        if path.startswith("/proc/self/fd/") and (theirs / "closed").is_dir() and not (theirs / "away").exists():
            (theirs / "closed").rename(theirs / "away")
            (theirs / "closed").symlink_to(ours)
            raise PermissionError
        return really_open(path, flags, *args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", swap)
        assert list(disk._entries(str(theirs / "closed"), [], set())) == []
    assert (theirs / "closed").is_symlink()
    assert stat.S_IMODE(ours.stat().st_mode) == 0o711
    assert stat.S_IMODE((theirs / "away").stat().st_mode) == 0o277, "closed again"
    ahead: list[str] = []
    for path in (theirs / "closed", theirs / "closed" / "inner"):
        assert list(disk._entries(str(path), ahead, set())) == [0]
    assert ahead == []


def test_very_many_descriptors_do_not_keep_the_shim_from_looking_at_memory(monkeypatch):
    monkeypatch.setattr("drivers.shim.proc.unnamed_files", lambda *_, **__: itertools.repeat(None))
    assert MemoryWatch(1, kernel_counts=False).exceeded([os.getpid()])
    watch = MemoryWatch(1 << 60, kernel_counts=False)
    assert [watch.exceeded([os.getpid()]) for _ in range(3)] == [False] * 3
    assert not DiskWatch([], 1).exceeded([os.getpid()])
