"""One process under a shim: started once, adopted, ended with everything that belongs to it."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from domain.errors import DependencyError
from drivers.shim import client, leftovers, lock, proc
from drivers.shim.spec import COOKIE, LOCK
from tests.drivers.shim.helpers import DAEMON, marker, run, running, said, shell, started, until, worker


async def test_an_exit_code_is_recorded_and_the_lock_is_free(state: Path) -> None:
    ended = await run(state, "echo hello; exit 7")
    assert (ended.code, ended.reason, ended.restarts) == (7, "exited", 0)
    assert not client.status(state).alive
    assert (state.parent / "log").read_text() == "hello\n"


async def test_death_by_a_signal_is_128_and_its_number(state: Path) -> None:
    assert (await run(state, "kill -9 $$")).code == 137


async def test_a_program_that_does_not_exist_says_so_in_the_log(state: Path) -> None:
    assert (await run(state, "", argv=["/no/such/program"])).code == 127
    assert "/no/such/program" in (state.parent / "log").read_text()


async def test_starting_twice_at_once_is_starting_once(state: Path) -> None:
    mark = marker()
    spec = shell(state, f"exec sleep {mark}")
    await asyncio.gather(*(client.start(state, spec) for _ in range(4)))
    assert len(running(mark)) == 1
    await client.stop(state)
    assert running(mark) == []


async def test_a_probe_does_not_take_the_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not lock.is_held(path)
    held = lock.take(path)
    assert held is not None
    assert lock.is_held(path)
    assert lock.take(path) is None
    os.close(held)
    assert not lock.is_held(path)


STARTER = """
import asyncio, json, sys
from pathlib import Path
from drivers.shim import client
from drivers.shim.spec import ShimSpec
asyncio.run(client.start(Path(sys.argv[1]), ShimSpec(**json.loads(sys.argv[2]))))
print("up", flush=True)
input()
"""


async def test_the_starter_is_killed_and_the_next_one_adopts(state: Path) -> None:
    mark = marker()
    spec = json.dumps(shell(state, f"exec sleep {mark}")._asdict())
    with worker(STARTER, str(state), spec) as starter:
        assert await said(starter) == "up"
    await until(lambda: running(mark), "it runs")
    [pid] = running(mark)
    assert client.status(state).child_pid == pid
    await client.start(state, shell(state, f"exec sleep {mark}"))
    assert running(mark) == [pid]
    await client.stop(state)
    assert running(mark) == []


async def test_the_shim_is_killed_and_its_child_dies_with_it(state: Path) -> None:
    mark = marker()
    async with started(state, f"exec sleep {mark}"):
        os.kill(_shim_pid(state), signal.SIGKILL)
        await until(lambda: not running(mark), "the child is gone")
        now = client.status(state)
        assert (now.alive, now.child_pid, now.exit) == (False, None, None)


@pytest.mark.parametrize("again", ["start", "stop"])
async def test_what_a_killed_shim_left_is_ended_by_the_next_call(state: Path, again: str) -> None:
    mark = marker()
    script = f"{DAEMON.format(mark=mark)}; sleep {mark} & exec sleep {mark}"
    await client.start(state, shell(state, script))
    await until(lambda: len(running(mark)) == 4, "all four run")
    os.kill(_shim_pid(state), signal.SIGKILL)
    await until(lambda: not client.status(state).alive, "the shim is gone")
    if again == "start":
        assert (await run(state, "exit 0")).code == 0
    await client.stop(state)
    assert running(mark) == []


async def test_a_stranger_who_got_the_recorded_number_lives(state: Path) -> None:
    await run(state, "exit 0")
    facts = json.loads((state / "pid.json").read_text())
    with worker("input()") as stranger:
        facts |= {"child_pid": stranger.pid, "pgid": stranger.pid, "child_start_time": 1}
        (state / "pid.json").write_text(json.dumps(facts))
        (state / "exit.json").unlink()  # as if the shim had been killed
        await client.end_leftovers(state)
        assert stranger.poll() is None


async def test_after_a_shim_that_recorded_its_end_nobody_looks_through_all_processes(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole tree had ended; a hundred services coming back would look at each other's processes."""
    looked: list[str] = []
    monkeypatch.setattr(leftovers, "end", lambda cookie, _: looked.append(cookie))
    await run(state, "exit 0")
    await client.end_leftovers(state)
    assert looked == []
    (state / "exit.json").unlink()
    await client.end_leftovers(state)
    assert len(looked) == 1
    facts = json.loads((state / "pid.json").read_text())
    (state / "pid.json").write_text(json.dumps({**facts, "boot_id": "before the last boot"}))
    await client.end_leftovers(state)
    assert len(looked) == 1


async def test_stop_asks_first_and_waits_for_the_answer(state: Path) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    await client.start(state, shell(state, script))
    log = state.parent / "log"
    await until(lambda: "up" in log.read_text(), "it runs")
    await client.stop(state)
    ended = client.status(state).exit
    assert ended is not None
    assert ended.reason == "stopped"
    assert "bye" in log.read_text()


async def test_stop_kills_what_does_not_listen_and_daemons(state: Path) -> None:
    mark = marker()
    script = f"trap '' TERM; {DAEMON.format(mark=mark)}; sleep {mark}; sleep {mark}"
    await client.start(state, shell(state, script, stop_timeout_s=0.2))
    await until(lambda: len(running(mark)) == 3, "all run")
    began = time.monotonic()
    await client.stop(state)
    assert running(mark) == []
    assert time.monotonic() - began >= 0.2


async def test_stopping_what_was_never_started_is_fine(state: Path) -> None:
    await client.stop(state)
    await client.end_leftovers(state)
    assert not client.status(state).alive


async def test_a_cancelled_start_is_finished_so_that_stop_finds_it(state: Path) -> None:
    mark = marker()
    task = asyncio.create_task(client.start(state, shell(state, f"exec sleep {mark}")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: len(running(mark)) == 1, "it runs all the same")
    await client.stop(state)
    assert running(mark) == []


async def test_a_shim_that_cannot_start_says_why(state: Path) -> None:
    with pytest.raises(DependencyError, match="No such file"):
        await client.start(state, shell(state, "", log_path="/no/such/folder/log"))


async def test_secrets_are_in_memory_only(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "planted-in-the-engine")
    env = {"PATH": os.defpath, "TOKEN": "for-the-service-only"}
    async with started(state, "env; exec sleep 1000", env=env):
        log = state.parent / "log"
        await until(lambda: "for-the-service-only" in log.read_text(), "its environment is printed")
        assert "planted-in-the-engine" not in log.read_text()
        seen = _visible(_shim_pid(state), state)
        assert not any(b"for-the-service" in each or b"planted" in each for each in seen)


async def test_the_shim_is_small_and_out_of_reach_of_our_terminal(state: Path) -> None:
    async with started(state, "exec sleep 1000"):
        shim = _shim_pid(state)
        process = proc.read(shim)
        assert process is not None
        assert process.session != os.getsid(0)
        assert process.parent != os.getpid()
        assert proc.resident_bytes([shim]) < 20 * 1024 * 1024


def _shim_pid(state: Path) -> int:
    pid = client.status(state).shim_pid
    assert pid is not None
    return pid


def _visible(shim: int, state: Path) -> list[bytes]:
    """What other processes and the disk show of a shim."""
    files = list(state.iterdir())
    assert all(path.stat().st_mode & 0o077 == 0 for path in (state, *files))
    return [path.read_bytes() for path in (Path(f"/proc/{shim}/cmdline"), Path(f"/proc/{shim}/environ"), *files)]


async def test_one_that_clears_up_in_the_folder_only_delays_a_start(state: Path) -> None:
    """Its lock is nobody's shim: taken for one, the start would be lost."""
    await asyncio.to_thread(state.mkdir)
    held = lock.take(str(state / LOCK))
    assert held is not None
    spec = shell(state, f"exec sleep {marker()}")
    starting = asyncio.create_task(client.start(state, spec))
    done, _ = await asyncio.wait([starting], timeout=0.3)
    assert not done
    os.close(held)
    await starting
    assert client.status(state).run_id == spec.run_id
    await client.stop(state)


async def test_a_cookie_in_another_ones_tree_makes_no_leftover_of_it(state: Path) -> None:
    """Whoever starts processes with somebody else's cookie, again and again, does not keep them from starting."""
    mark, other = marker(), state.with_name("other")
    cookie = shell(state, "").cookie
    async with started(other, f"{COOKIE}='{cookie}' sleep {mark} & {COOKIE}='{cookie}' exec sleep {mark}"):
        await until(lambda: len(running(mark)) == 2, "both run")
        await client.start(state, shell(state, "exec sleep 1000"))
        os.kill(_shim_pid(state), signal.SIGKILL)
        await until(lambda: not client.status(state).alive, "the shim is gone")
        await until(lambda: leftovers.find(cookie, None) == [], "its own are gone, and nobody else's were meant")
        await client.end_marked(cookie)
        assert (await run(state, "exit 0")).code == 0
        assert len(running(mark)) == 2
