"""Commands that run once: the release phase."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from domain.errors import ErrorCode, TerminalError
from drivers.folders import remove_tree
from drivers.shim import client
from drivers.targets.base import MAX_RUNS, CommandStatus
from drivers.targets.process.changes import give_changes, keep_changes
from tests.drivers.shim.helpers import marker, running, until
from tests.drivers.targets.service import Service

NAME = "r1-release"


async def ended(service: Service, timeout_s: float = 120) -> CommandStatus:
    async with asyncio.timeout(timeout_s):
        while (now := await service.target.command(NAME)).running:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.03)
    return now


def state(service: Service):
    return service.root / ".once" / NAME / "shim"


async def test_it_runs_once_in_the_artifact_with_environment_and_secrets(service: Service) -> None:
    line = 'ls; echo "$A $B port=${PORT:-none}"; date +%N >> "$HOME/../ran" 2>/dev/null; exit 3'
    spec = service.spec(NAME, command=line, env={"A": "a", "B": "default"}, secrets={"B": "secret"})
    await service.target.run_command(spec, 60)
    first = await ended(service)
    assert (first.exit_code, first.reason, first.runs) == (3, "exited", 1)
    output = await service.target.command_output(NAME, 0)
    assert b"service.py\n" in output
    assert b"a secret port=none\n" in output
    assert await service.target.command_output(NAME, len(output)) == b""
    assert await service.target.run_command(spec, 60) == first
    assert await service.target.command_output(NAME, 0) == output
    await service.target.end_command(NAME, keep_end=True)
    assert await service.target.run_command(spec, 60) == first
    assert list((service.root / ".once" / NAME / "app").iterdir()) == []
    await service.target.end_command(NAME)
    assert list((service.root / ".once").iterdir()) == []
    assert await service.target.list_instances() == []


async def test_one_that_runs_is_not_begun_again(service: Service) -> None:
    spec = service.spec(NAME, command="echo begun; sleep 1; echo over")
    await asyncio.gather(*(service.target.run_command(spec, 60) for _ in range(3)))
    assert (await ended(service)).runs == 1
    assert await service.target.command_output(NAME, 0) == b"begun\nover\n"


async def test_one_that_takes_too_long_is_ended(service: Service) -> None:
    await service.target.run_command(service.spec(NAME, command="sleep 100 & sleep 100"), 0.3)
    assert (await ended(service)).reason == "timeout"


async def test_what_a_killed_shim_left_is_ended_before_it_is_run_again_but_not_for_ever(service: Service) -> None:
    mark = marker()
    spec = service.spec(NAME, command=f"setsid sleep {mark} & exec sleep {mark}")
    for run in range(1, MAX_RUNS + 1):
        status = await service.target.run_command(spec, 60)
        assert (status.running, status.runs) == (True, run)
        await until(lambda: len(running(mark)) == 2, "two of this run, none of the one before")
        shim = client.status(state(service)).shim_pid
        assert shim is not None
        os.kill(shim, signal.SIGKILL)
        assert not (await ended(service)).ended
    status = await service.target.run_command(spec, 60)
    assert (status.running, status.ended, status.runs) == (False, False, MAX_RUNS)
    await service.target.end_command(NAME)
    assert running(mark) == []


async def test_ended_with_its_whole_tree_and_by_a_stop_of_the_stack_it_is_run_again(service: Service) -> None:
    mark = marker()
    spec = service.spec(NAME, command=f"setsid sleep {mark} & exec sleep {mark}")
    await service.target.run_command(spec, 60)
    assert await service.target.pause() == 1
    assert not (await service.target.command(NAME)).ended
    assert running(mark) == []
    assert (await service.target.run_command(spec, 60)).runs == 2
    await until(lambda: len(running(mark)) == 2, "it runs")
    await service.target.end_command(NAME)
    assert running(mark) == []


async def test_what_it_left_in_its_folder_is_in_the_instances_and_what_they_write_stays(service: Service) -> None:
    """`cases/release-phase-ignored` marks its migration by a file."""
    line = (
        "mkdir -p a/b empty; echo 1 > migrated; echo 2 > a/b/two; ln -s migrated link; mkfifo pipe; "
        "echo '# more' >> service.py; setsid sleep 300 > /dev/null 2>&1 &"
    )
    await service.target.run_command(service.spec(NAME, command=line), 60)
    assert (await ended(service)).exit_code == 0
    await service.target.end_command(NAME, keep_end=True)
    left = service.root / ".once" / NAME / "app"
    assert {str(path.relative_to(left)) for path in left.rglob("*")} == {
        *("a", "a/b", "a/b/two", "empty", "link", "migrated", "service.py")
    }
    for _ in range(2):
        await service.listening(service.spec(after=NAME))
        app = service.root / "r1-0" / "app"
        assert (app / "a/b/two").read_text() == "2\n"
        assert (app / "link").readlink() == Path("migrated")
        assert (app / "service.py").read_text().endswith("# more\n")
        if (app / "own").exists():
            assert (app / "migrated").read_text() == "the instance's own\n"
        (app / "migrated").write_text("the instance's own\n")
        (app / "own").touch()
        await service.target.pause()
    await service.target.end_command(NAME)


async def test_more_than_is_kept_is_refused_in_words(service: Service) -> None:
    await service.target.run_command(service.spec(NAME, command="truncate -s 300M big"), 60)
    await ended(service)
    with pytest.raises(TerminalError, match="300 MiB in its folder, more than is kept") as caught:
        await service.target.end_command(NAME, keep_end=True)
    assert caught.value.code is ErrorCode.RELEASE_COMMAND_FAILED
    await service.target.end_command(NAME)


def test_changes_go_over_whatever_the_artifact_has_at_their_place(tmp_path: Path) -> None:
    changes, app = tmp_path / "changes", tmp_path / "app"
    for folder in (changes / "was-link", app / "was-folder", app / "elsewhere"):
        folder.mkdir(parents=True)
    (changes / "was-link" / "in").write_text("new")
    (app / "was-link").symlink_to("elsewhere")
    (changes / "was-folder").symlink_to("/etc/hosts")
    (app / "was-folder" / "old").write_text("old")
    give_changes(changes, app)
    give_changes(changes, app)
    assert (app / "was-link" / "in").read_text() == "new"
    assert list((app / "elsewhere").iterdir()) == []
    assert (app / "was-folder").readlink() == Path("/etc/hosts")


def test_folders_nested_deeply_are_gone_through_or_refused(tmp_path: Path) -> None:
    for levels in (1500, 3000):
        app = tmp_path / str(levels)
        app.mkdir()
        nest = f"import os\nfor _ in range({levels}): os.mkdir('d'); os.chdir('d')\nopen('f','w')"
        subprocess.run(["python3", "-c", nest], cwd=app, check=True)
    keep_changes(tmp_path / "1500", 0)
    remove_tree(tmp_path / "1500")  # pytest cannot
    with pytest.raises(TerminalError, match="nested too deeply"):
        keep_changes(tmp_path / "3000", 0)
    assert not (tmp_path / "3000").exists()
