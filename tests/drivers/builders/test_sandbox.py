"""What a build inside bubblewrap can see and do."""

import os
import socket
import sys
from pathlib import Path

import pytest

from domain.errors import ErrorCode, TerminalError
from drivers import sandbox
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.builders.process import ProcessBuilder
from drivers.builders.registry import select_builder
from drivers.folders import remove_tree
from tests.drivers.builders.workspace import Workspace

ROOT_NAMES = sorted(path.name for path in Path("/").iterdir())
needs_bubblewrap = pytest.mark.skipif(not sandbox.available(), reason="bubblewrap does not work on this machine")


@needs_bubblewrap
@pytest.mark.parametrize("root", ["/tmp", str(Path.home()), "/var/tmp", "hidden"])
async def test_the_workspace_is_there_wherever_it_lies(root: str, tmp_path: Path) -> None:
    """Also below folders that are hidden themselves: the deeper path decides."""
    parent = tmp_path if root == "hidden" else Path(root)
    if not os.access(parent, os.W_OK):
        pytest.skip(f"{parent} is not ours to write on this machine")
    workspace = Workspace.below(parent / f"sandbox test {tmp_path.parent.name} {tmp_path.name}")
    top = workspace.tree.parents[1]
    try:
        builder = BubblewrapBuilder((tmp_path,))
        step = 'echo x > made; touch "$HOME/a" "$TMPDIR/b"; python3 -V; ls -d /delivery/*'
        result = await builder.run(workspace.request(step))
        assert result.exit_code == 0, result.tail
        assert (workspace.tree / "made").read_text() == "x\n"
        assert result.tail.splitlines()[-5:] == [f"/delivery/{n}" for n in ("app", "bridge", "home", "state", "tmp")]
    finally:
        remove_tree(top)


@needs_bubblewrap
async def test_hidden_folders_files_and_sockets_do_not_exist(workspace: Workspace, tmp_path: Path) -> None:
    data, secret = tmp_path / "data", tmp_path / "jwt.pem"
    data.mkdir()
    secret.write_text("PRIVATE KEY")
    (data / "rows").write_text("rows")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(data / "s"))
        server.listen()
        connect = f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{data / 's'}\")'"
        steps = (f"! {connect}", f"test -z \"$(ls '{data}')\"", f"test ! -s '{secret}'")
        shown = Workspace.below(data / "inner")
        result = await BubblewrapBuilder((data, secret)).run(workspace.request(*steps))
        assert result.exit_code == 0, result.tail
        inside = await BubblewrapBuilder((data, secret)).run(shown.request(f"test ! -e '{data}/rows'; touch ok"))
        assert inside.exit_code == 0, inside.tail
        assert (await ProcessBuilder().run(workspace.request(connect))).exit_code == 0


@needs_bubblewrap
async def test_the_system_is_read_only_and_processes_are_out_of_sight(workspace: Workspace) -> None:
    steps = (
        "! touch /etc/x 2>/dev/null",
        f"! touch '{sys.base_prefix}/x' 2>/dev/null",
        "! sh -c 'echo x > /proc/sys/kernel/core_pattern' 2>/dev/null",
        "test ! -s /etc/shadow",
        "test -z \"$(ls -A /root /home /run /tmp 2>/dev/null | grep -E 'pgs|de-|\\.ssh')\"",
        "test $(ls /proc | grep -c '^[0-9]') -lt 10",
        "grep -q 'CapEff:.0000000000000000' /proc/self/status",
        "grep -q 'NoNewPrivs:.1' /proc/self/status",
        "! mount -t tmpfs none /mnt 2>/dev/null",
        "echo x > /dev/shm/x; echo x > /dev/null; ! touch /dev/x 2>/dev/null",
        "! head -c 300000000 /dev/zero > /dev/shm/big 2>/dev/null",
    )
    result = await BubblewrapBuilder().run(workspace.request(*steps))
    assert result.exit_code == 0, result.tail


@needs_bubblewrap
@pytest.mark.parametrize("inside", ["LD_PRELOAD", "GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_ARENA_MAX"])
async def test_what_the_loader_reads_is_for_the_program_inside(inside: str, workspace: Workspace) -> None:
    """A preloaded library would run in bubblewrap itself, which sees all of the host."""
    request = workspace.request(f'test "${inside}" = ./not-there', env={inside: "./not-there"})
    result = await BubblewrapBuilder().run(request)
    assert result.exit_code == 0, result.tail


@needs_bubblewrap
async def test_the_loader_of_the_sandbox_writes_no_file_of_a_stranger_outside(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    env = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(data / "proof")}
    result = await BubblewrapBuilder((data,)).run(workspace.request("true", env=env))
    assert result.exit_code == 0, result.tail
    assert not list(data.iterdir())


@pytest.mark.skipif(not sandbox.can_shield(), reason="bubblewrap does not work on this machine")
async def test_builds_of_trusted_code_see_the_machine_as_before(workspace: Workspace, tmp_path: Path) -> None:
    """Read-only, without what is private, as the user that the engine is, without a filter."""
    builder = select_builder("auto", trusted_code=True, hidden=(tmp_path / "data",))
    steps = (
        f'test "$(id -u)" = {os.getuid()} && grep -q "Seccomp:.0" /proc/self/status',
        *(f"test -e /{name} || test -L /{name}" for name in ROOT_NAMES),
        "test -s /etc/passwd && test ! -s /etc/shadow && ! touch /etc/x 2>/dev/null",
    )
    result = await builder.run(workspace.request(*steps))
    assert result.exit_code == 0, result.tail


def test_the_registry_prefers_isolation() -> None:
    expected = BubblewrapBuilder if sandbox.can_shield() else ProcessBuilder
    assert isinstance(select_builder("auto", trusted_code=True), expected)
    assert isinstance(select_builder("process", trusted_code=True), ProcessBuilder)
    with pytest.raises(ValueError, match="no builder 'docker'"):
        select_builder("docker", trusted_code=True)


def test_untrusted_code_never_runs_without_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TerminalError) as caught:
        select_builder("process", trusted_code=False)
    assert caught.value.code is ErrorCode.BUILD_ISOLATION_UNAVAILABLE
    assert "'process' does not isolate" in caught.value.message  # bubblewrap is not to blame
    monkeypatch.setattr(sandbox, "available", lambda: False)
    monkeypatch.setattr(sandbox, "can_shield", lambda: False)
    for name in ("auto", "bubblewrap"):
        with pytest.raises(TerminalError):
            select_builder(name, trusted_code=False)
    assert isinstance(select_builder("auto", trusted_code=True), ProcessBuilder)


def test_a_machine_without_bubblewrap_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "executable", lambda: Path("/no/bwrap"))
    sandbox.available.cache_clear()
    assert not sandbox.available()
    monkeypatch.undo()
    sandbox.available.cache_clear()
