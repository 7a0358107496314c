"""The conformance of an artifact store, run against the folder store, and what only that one promises."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.folder import FolderArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "the store")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "a tree"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o700)
    (root / "sub" / "ünïcode \udcff").write_bytes(b"data")
    (root / "link").symlink_to("sub/missing")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    return root


def contents(root: Path) -> dict[str, tuple[int, bytes | str]]:
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        name = os.fspath(path.relative_to(root))
        if path.is_symlink():
            found[name] = (0, os.fspath(path.readlink()))
        else:
            found[name] = (path.stat().st_mode & 0o777, path.read_bytes() if path.is_file() else "")
    return found


def temporary(store: FolderArtifactStore) -> list[Path]:
    return list(store._temporary.iterdir())


async def refused(store: FolderArtifactStore, tree: Path) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        await store.store(tree)
    assert temporary(store) == []
    return caught.value


async def test_what_is_stored_comes_back_without_git(store, tree, tmp_path):
    stored = await store.store(tree)
    assert await store.exists(stored.digest)
    await store.unpack(stored.digest, tmp_path / "out" / "here")
    assert contents(tmp_path / "out" / "here") == {
        "link": (0, "sub/missing"),
        "run.sh": (0o755, b"#!/bin/sh\n"),
        "sub": (0o755, ""),
        "sub/empty": (0o755, ""),
        "sub/ünïcode \udcff": (0o644, b"data"),
    }
    assert (stored.file_count, stored.size_bytes % 512) == (5, 0)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["here"]


async def test_the_same_files_have_the_same_digest_whatever_their_times_and_modes(store, tree):
    first = await store.store(tree)
    os.utime(tree / "run.sh", (1, 1))
    (tree / "run.sh").chmod(0o755)
    (tree / ".git" / "more").write_text("x")
    assert await store.store(tree) == first
    (tree / "run.sh").chmod(0o644)
    assert (await store.store(tree)).digest != first.digest


async def test_files_carry_the_commits_time_so_that_validators_of_two_versions_differ(store, tree, tmp_path):
    first = await store.store(tree, epoch_s=1_700_000_000)
    again = await store.store(tree, epoch_s=1_700_000_000)
    second = await store.store(tree, epoch_s=1_700_000_001)
    assert first == again
    assert first.digest != second.digest
    for stored, when in ((first, 1_700_000_000), (second, 1_700_000_001)):
        into = tmp_path / str(when)
        await store.unpack(stored.digest, into)
        assert {path.stat().st_mtime for path in into.rglob("*") if path.is_file()} == {when}
    absurd = await store.store(tree, epoch_s=2**60)
    await store.unpack(absurd.digest, tmp_path / "absurd")


async def test_the_format_of_archives_stays(store, tmp_path):
    """If this fails, stored digests change with the upgrade: identical builds would be stored twice."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_text("a")
    stored = await store.store(tmp_path / "t")
    assert stored.digest == "sha256:222eae8756318e08c6a0a394492d8900d738e70d3c207a3506c2647ecacf3388"


async def test_nothing_to_store(store, tmp_path):
    (tmp_path / "t" / "empty").mkdir(parents=True)
    (tmp_path / "t" / ".git").mkdir()
    (tmp_path / "t" / ".git" / "config").write_text("x")
    assert (await refused(store, tmp_path / "t")).code is ErrorCode.ARTIFACT_EMPTY
    assert (await refused(store, tmp_path / "missing")).code is ErrorCode.ARTIFACT_EMPTY


async def test_too_many_bytes_or_files(tree, tmp_path):
    for limits in ({"max_bytes": 5}, {"max_files": 2}):
        error = await refused(FolderArtifactStore(tmp_path / "small", **limits), tree)
        assert error.code is ErrorCode.ARTIFACT_TOO_LARGE


@pytest.mark.parametrize("target", ["../x", "sub/../../x", "/delivery/app/../x", "/delivery/home/x", "/delivery/tmp/x"])
async def test_links_that_leave_the_tree(store, tree, target):
    (tree / "bad").symlink_to(target)
    error = await refused(store, tree)
    assert (error.code, "'bad'" in error.message) == (ErrorCode.ARTIFACT_INVALID, True)


async def test_special_files(store, tree, monkeypatch):
    os.mkfifo(tree / "pipe")
    assert "'pipe'" in (await refused(store, tree)).message
    (tree / "pipe").unlink()
    monkeypatch.chdir(tree)  # a unix socket has a short address
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert "'socket'" in (await refused(store, tree)).message


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:../../x", "", "md5:1"])
async def test_unknown_digests(store, tmp_path, digest):
    assert not await store.exists(digest)
    with pytest.raises(TerminalError) as caught:
        await store.unpack(digest, tmp_path / "out")
    assert caught.value.code is ErrorCode.ARTIFACT_UNAVAILABLE
    assert not (tmp_path / "out").exists()


async def test_damaged_bytes_are_found_and_healed_by_storing_again(store, tree, tmp_path):
    stored = await store.store(tree)
    archive = store._path(stored.digest)
    archive.write_bytes(archive.read_bytes().replace(b"data", b"evil"))
    with pytest.raises(TerminalError) as caught:
        await store.unpack(stored.digest, tmp_path / "out" / "x")
    assert caught.value.code is ErrorCode.ARTIFACT_UNAVAILABLE
    assert list((tmp_path / "out").iterdir()) == []
    await store.store(tree)
    await store.unpack(stored.digest, tmp_path / "out" / "x")


async def test_unpacking_at_the_same_time_leaves_one_whole_tree(store, tree, tmp_path):
    stored = await store.store(tree)
    other = FolderArtifactStore(tmp_path / "the store")
    into = tmp_path / "out" / "x"
    await asyncio.gather(*((store, other)[n % 2].unpack(stored.digest, into) for n in range(8)))
    assert [p.name for p in into.parent.iterdir()] == ["x"]
    assert len(contents(into)) == 5


async def test_unpacking_again_does_not_touch_what_runs_there(store, tree, tmp_path):
    stored = await store.store(tree)
    await store.unpack(stored.digest, tmp_path / "x")
    (tmp_path / "x" / "state").write_text("")
    await store.unpack(stored.digest, tmp_path / "x")
    assert (tmp_path / "x" / "state").exists()


async def test_storing_at_the_same_time_stores_once(store, tree, tmp_path):
    other = FolderArtifactStore(tmp_path / "the store")
    found = await asyncio.gather(*((store, other)[n % 2].store(tree) for n in range(6)))
    assert len(set(found)) == 1
    assert len(list(store._archives.iterdir())) == 1
    assert temporary(store) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_is_named_and_left_clean(full_disk, tree):
    (tree / "large").write_bytes(os.urandom(200_000))
    error = await refused(FolderArtifactStore(full_disk), tree)
    assert error.code is ErrorCode.DISK_FULL


async def test_a_write_that_fails_leaves_nothing(store, tree):
    """A file size limit fails the write as a full disk does, and needs no rights."""
    (tree / "large").write_bytes(os.urandom(200_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            await store.store(tree)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert temporary(store) == []


async def test_a_killed_store_leaves_nothing_under_a_final_name(store, tree, tmp_path):
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from drivers.artifacts import folder\n"
        "folder.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(folder.FolderArtifactStore(Path(sys.argv[1])).store(Path(sys.argv[2])))"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, tmp_path / "the store", tree],
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert list(store._archives.iterdir()) == []
    assert len(temporary(store)) == 1


async def test_what_the_dead_left_is_removed_after_a_day(store, tmp_path):
    old, new = store._temporary / "old", store._temporary / "new"
    old.write_text("")
    new.write_text("")
    os.utime(old, (1, 1))
    FolderArtifactStore(tmp_path / "the store")
    assert temporary(store) == [new]
