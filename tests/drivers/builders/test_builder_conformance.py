"""What every builder must do."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from domain.errors import DependencyError, ErrorCode, TerminalError
from drivers.builders.base import Builder, Limits
from drivers.clean_env import CERTIFICATES
from drivers.sandbox import APP
from drivers.shim import client
from tests.drivers.builders.workspace import Workspace
from tests.drivers.shim.helpers import DAEMON, marker, running, until, worker

# Besides what the repository gives.
ALWAYS = {"PATH", "HOME", "TMPDIR", "LANG", "PIP_BREAK_SYSTEM_PACKAGES", "NPM_CONFIG_PREFIX", "GEM_HOME"}
ALWAYS |= set(CERTIFICATES) & os.environ.keys()


async def test_steps_run_in_order_in_the_workspace(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request("echo one > file", "cat file; pwd; echo 'two  spaces' >&2"))
    assert (result.exit_code, result.failed_step, result.reason) == (0, None, "exited")
    assert (workspace.tree / "file").read_text() == "one\n"
    expected = f"$ echo one > file\n$ cat file; pwd; echo 'two  spaces' >&2\none\n{APP}\ntwo  spaces\n"
    assert workspace.log.read_text() == result.tail == expected


async def test_the_first_failing_step_ends_the_run(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request("true", "false; echo no", "echo never > never"))
    assert (result.exit_code, result.failed_step, result.reason) == (1, 1, "exited")
    assert not (workspace.tree / "never").exists()


async def test_a_build_cannot_name_a_step_that_there_is_not(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request("echo 9999 > /delivery/state/step; exit 3"))
    assert (result.exit_code, result.failed_step) == (3, 0)


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
    assert names - {"DELIVERY_SHIM"} == {*ALWAYS, "CI", "WANTED", "PWD"}
    assert "/not/this" not in result.tail


async def test_ci_false_and_other_defaults_are_the_repositorys_to_set(builder: Builder, workspace: Workspace) -> None:
    given = {"CI": "false", "LANG": "de_DE.UTF-8", "LC_ALL": "C", "GEM_HOME": "/gems", "LD_LIBRARY_PATH": "lib"}
    result = await builder.run(workspace.request("env", env=given))
    lines = result.tail.splitlines()
    assert [name for name, value in given.items() if f"{name}={value}" not in lines] == []


async def test_variables_of_the_loader_have_no_effect_outside_of_the_sandbox(
    builder: Builder, workspace: Workspace
) -> None:
    """A library of the repository in LD_PRELOAD would be loaded by the sandbox's own program, with our rights."""
    (workspace.tree / "evil.so").write_text("no library: the loader complains wherever it is asked to load it")
    result = await builder.run(workspace.request("cd / && echo through", env={"LD_PRELOAD": "./evil.so"}))
    complaints = [line for line in workspace.log.read_text().splitlines() if "evil.so" in line]
    assert "through" in result.tail
    assert len(complaints) == 2  # of both shells inside


async def test_tmpdir_leaves_room_for_sockets(builder: Builder, tmp_path: Path) -> None:
    deep = Workspace.below(tmp_path / ("a long name of a folder " * 4))
    (deep.tree / "t.py").write_text(MANAGER)
    result = await builder.run(deep.request("python3 t.py", 'test -w "$TMPDIR"'))
    assert (result.exit_code, "{}" in result.tail) == (0, True), result.tail


MANAGER = """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        print(manager.dict())
"""


async def test_a_program_that_is_not_there_is_reported_with_the_path(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request('echo "$PATH" > path; nope'))
    assert result.searched == (workspace.tree / "path").read_text().strip()
    assert "/usr/bin" in result.searched.split(":")


async def test_a_service_in_a_folder_sees_the_whole_repository(builder: Builder, workspace: Workspace) -> None:
    (workspace.tree / "apps" / "web").mkdir(parents=True)
    (workspace.tree / "shared").write_text("of all")
    inner = {"root": workspace.tree, "workdir": workspace.tree / "apps" / "web"}
    result = await builder.run(workspace.request("pwd; cat ../../shared; echo made > here", **inner))
    assert f"{APP}/apps/web\nof all" in result.tail
    assert (workspace.tree / "apps" / "web" / "here").exists()
    assert sorted(path.name for path in (workspace.tree / "apps").iterdir()) == ["web"]


async def test_home_and_tmp_are_private_and_outside_of_the_tree(builder: Builder, workspace: Workspace) -> None:
    assert (await builder.run(workspace.request('touch "$HOME/h" "$TMPDIR/t"'))).exit_code == 0
    assert list(workspace.tree.iterdir()) == []
    assert (await builder.run(workspace.request('ls "$HOME/h"; ! ls "$TMPDIR/t"'))).exit_code == 0


async def test_stdin_is_empty(builder: Builder, workspace: Workspace) -> None:
    assert (await builder.run(workspace.request("! read line"))).exit_code == 0


async def test_a_timeout_names_the_step_and_ends_everything(builder: Builder, workspace: Workspace) -> None:
    mark = marker()
    step = f"{DAEMON.format(mark=mark)}; (sleep {mark} & sleep {mark})"
    result = await builder.run(workspace.request("true", step, limits=Limits(timeout_s=3)))
    assert (result.reason, result.failed_step, result.exit_code) == ("timeout", 1, 137)
    assert running(mark) == []


async def test_output_over_16_mib_is_cut_and_nobody_is_ended(builder: Builder, workspace: Workspace) -> None:
    talk = "yes 'ok 123 - a test that passed' | head -c 20000000; echo the last words"
    result = await builder.run(workspace.request(talk, "echo and the next step"))
    assert (result.reason, result.exit_code) == ("exited", 0)
    assert "bytes of output left out here" in workspace.log.read_text()
    assert workspace.log.stat().st_size < 16 * 1024 * 1024 + 200
    assert result.tail.endswith("the last words\n$ echo and the next step\nand the next step\n")


async def test_a_flood_of_output_costs_bounded_disk(builder: Builder, workspace: Workspace) -> None:
    result = await builder.run(workspace.request("yes", limits=Limits(output_bytes=50_000, timeout_s=1)))
    assert (result.reason, result.failed_step) == ("timeout", 0)
    assert workspace.log.stat().st_size < 50_200


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
