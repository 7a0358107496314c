"""What every builder must do."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from domain.errors import DependencyError, ErrorCode, TerminalError
from drivers.builders.base import Builder, Limits
from drivers.shim import client
from tests.drivers.builders.workspace import Workspace
from tests.drivers.shim.helpers import DAEMON, marker, running, until, worker


async def test_steps_run_in_order_in_the_workspace(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request("echo one > file", "cat file; pwd; echo 'two  spaces' >&2"))
    assert (result.exit_code, result.failed_step, result.reason) == (0, None, "exited")
    assert (workspace.tree / "file").read_text() == "one\n"
    expected = f"$ echo one > file\n$ cat file; pwd; echo 'two  spaces' >&2\none\n{workspace.tree}\ntwo  spaces\n"
    assert workspace.log.read_text() == result.tail == expected


async def test_the_first_failing_step_ends_the_run(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request("true", "false; echo no", "echo never > never"))
    assert (result.exit_code, result.failed_step, result.reason) == (1, 1, "exited")
    assert not (workspace.tree / "never").exists()


@pytest.mark.parametrize(("step", "code"), [("exit 42", 42), ("kill -9 $$", 137), ("echo $unset", 2), ("nope", 127)])
async def test_exit_codes_arrive(builder: Builder, workspace: Workspace, step: str, code: int) -> None:
    assert (await builder.run(workspace.request(step))).exit_code == code


async def test_the_log_is_appended_and_the_tail_is_of_this_run(builder: Builder, workspace: Workspace) -> None:
    workspace.log.write_text("earlier\n")
    result = await builder.run(workspace.request("seq 5000"))
    assert workspace.log.read_text().startswith("earlier\n$ seq 5000\n1\n")
    assert len(result.tail) <= 4096
    assert result.tail.endswith("\n4999\n5000\n")
    assert "earlier" not in (await builder.run(workspace.request("echo short"))).tail


async def test_the_environment_is_bare(builder: Builder, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "planted")
    given = {"WANTED": "a value", "HOME": "/not/this"}
    result = await builder.run(workspace.request("env", "python3 -c 'print(\"python works\")'", env=given))
    assert "planted" not in result.tail
    assert "python works" in result.tail
    names = {line.split("=")[0] for line in result.tail.splitlines() if "=" in line}
    assert names - {"DELIVERY_SHIM"} == {"PATH", "HOME", "TMPDIR", "LANG", "CI", "WANTED", "PWD"}
    assert "/not/this" not in result.tail


async def test_home_and_tmp_are_private_and_outside_of_the_tree(builder: Builder, workspace: Workspace) -> None:
    assert (await builder.run(workspace.request('touch "$HOME/h" "$TMPDIR/t"'))).exit_code == 0
    assert list(workspace.tree.iterdir()) == []
    assert (await builder.run(workspace.request('ls "$HOME/h"; ! ls "$TMPDIR/t"'))).exit_code == 0


async def test_stdin_is_empty(builder: Builder, workspace: Workspace) -> None:
    assert (await builder.run(workspace.request("! read line"))).exit_code == 0


async def test_a_timeout_names_the_step_and_ends_everything(builder: Builder, workspace: Workspace) -> None:
    mark = marker()
    step = f"{DAEMON.format(mark=mark)}; (sleep {mark} & sleep {mark})"
    result = await builder.run(workspace.request("true", step, limits=Limits(timeout_s=0.5)))
    assert (result.reason, result.failed_step, result.exit_code) == ("timeout", 1, 137)
    assert running(mark) == []


async def test_a_flood_of_output_is_ended(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request("yes", limits=Limits(output_bytes=50_000)))
    assert (result.reason, result.failed_step) == ("output_limit", 0)
    assert workspace.log.stat().st_size == 50_000


async def test_a_memory_hog_is_ended(builder: Builder, workspace: Workspace) -> None:
    step = "python3 -c 'b = bytearray(120_000_000); import time; time.sleep(60)'"
    result = await builder.run(workspace.request(step, limits=Limits(memory_mb=100)))
    assert (result.reason, result.failed_step) == ("memory_limit", 0)


async def test_a_full_disk_is_named(builder: Builder, workspace: Workspace) -> None:
    with pytest.raises(TerminalError) as caught:
        await builder.run(workspace.request("echo a line", log_path=Path("/dev/full")))
    assert caught.value.code is ErrorCode.DISK_FULL


async def test_a_daemon_lives_as_long_as_the_run(builder: Builder, workspace: Workspace) -> None:
    mark = marker()
    result = await builder.run(workspace.request(DAEMON.format(mark=mark), "sleep 0.2", f"pgrep -f 'sleep {mark}'"))
    assert result.exit_code == 0
    assert running(mark) == []


async def test_cancelling_ends_the_tree_before_it_returns(builder: Builder, workspace: Workspace) -> None:
    mark = marker()
    step = f"trap '' TERM; {DAEMON.format(mark=mark)}; sleep {mark}"
    run = asyncio.create_task(builder.run(workspace.request(step)))
    await until(lambda: len(running(mark)) == 3, "all run")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert running(mark) == []


async def test_progress_is_the_size_of_the_log(builder: Builder, workspace: Workspace) -> None:
    seen: list[int] = []
    await builder.run(workspace.request("echo a; sleep 0.3; echo b; echo c", on_progress=seen.append))
    assert seen == sorted(set(seen))
    assert seen[-1] == workspace.log.stat().st_size


async def test_a_second_run_of_the_key_replaces_the_first(builder: Builder, workspace: Workspace) -> None:
    mark = marker()
    first = asyncio.create_task(builder.run(workspace.request(f"sleep {mark}")))
    await until(lambda: running(mark), "the first runs")
    result = await builder.run(workspace.request("echo second"))
    assert result.exit_code == 0
    assert running(mark) == []
    with pytest.raises(DependencyError, match="ended from outside"):
        await first


WORKER = """
import asyncio, sys
from pathlib import Path
from drivers.builders.base import RunRequest
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.builders.process import ProcessBuilder
builder, key, workdir, state_dir, log_path, step = sys.argv[1:]
paths = {"workdir": Path(workdir), "state_dir": Path(state_dir), "log_path": Path(log_path)}
asyncio.run(globals()[builder]().run(RunRequest(key=key, steps=(step,), **paths)))
"""


async def test_a_killed_worker_leaves_a_run_that_the_next_one_ends(builder: Builder, workspace: Workspace) -> None:
    mark = marker()
    made = workspace.request(f"{DAEMON.format(mark=mark)}; sleep {mark}")
    arguments = [type(builder).__name__, made.key, str(made.workdir), str(made.state_dir), str(made.log_path)]
    with worker(WORKER, *arguments, *made.steps):
        await until(lambda: len(running(mark)) == 3, "the first runs")
    assert len(running(mark)) == 3
    assert (await builder.run(workspace.request("echo again"))).exit_code == 0
    assert running(mark) == []


async def test_a_killed_shim_is_a_fault_worth_retrying(builder: Builder, workspace: Workspace) -> None:
    mark = marker()
    run = asyncio.create_task(builder.run(workspace.request(f"{DAEMON.format(mark=mark)}; sleep {mark}")))
    await until(lambda: len(running(mark)) == 3, "it runs")
    shim = client.status(workspace.state).shim_pid
    assert shim is not None
    os.kill(shim, signal.SIGKILL)
    with pytest.raises(DependencyError, match="ended from outside"):
        await run
    assert running(mark) == []
