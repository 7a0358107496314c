"""GitSource against real repositories: local ones, and one served over http by git itself."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import DependencyError, ErrorCode, TerminalError
from drivers.sources import git_process
from drivers.sources.base import SourceRequest
from drivers.sources.git import GitSource
from tests.drivers.sources.git_server import serve_repositories

IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=IDENTITY, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Repository:
    """A real repository in a folder with a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        return str(self.folder)

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.folder / name.replace("__", ".")).write_text(text)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", "x")
        return git(self.folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "a repo")


@pytest.fixture
def source() -> GitSource:
    return GitSource(allow_file=True, allow_private=True, timeout_s=120)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "work space" / "tree"


async def failing(source: GitSource, into: Path, url: str, branch: str | None = None, commit: str | None = None):
    with pytest.raises(TerminalError) as caught:
        await source.fetch(SourceRequest(url, branch, commit), into)
    return caught.value


async def test_the_tip_of_the_default_branch_without_its_git_folder(repository, source, into):
    repository.commit(app="one")
    commit = repository.commit(app="two")
    fetched = await source.fetch(SourceRequest(repository.url), into)
    assert (fetched.commit, fetched.branch, fetched.size_bytes) == (commit, "main", 3)
    assert [p.name for p in into.iterdir()] == ["app"]
    assert (into / "app").read_text() == "two"
    assert [p.name for p in into.parent.iterdir()] == ["tree"]


async def test_every_file_has_the_time_of_the_commit(repository, source, into):
    repository.commit(app="one")
    await source.fetch(SourceRequest(repository.url), into)
    assert {p.stat().st_mtime for p in (into, into / "app")} == {1_700_000_000}


async def test_a_file_url_with_escapes(repository, source, into):
    commit = repository.commit(app="one")
    fetched = await source.fetch(SourceRequest(repository.folder.as_uri()), into)
    assert fetched.commit == commit


async def test_a_named_branch_and_a_tag(repository, source, into):
    first = repository.commit(app="one")
    git(repository.folder, "tag", "--annotate", "v1", "--message", "x")
    git(repository.folder, "branch", "feature/one")
    repository.commit(app="two")
    for name in ("feature/one", "v1", "refs/heads/feature/one"):
        fetched = await source.fetch(SourceRequest(repository.url, name), into)
        assert fetched.commit == first
        assert fetched.branch == name.removeprefix("refs/heads/")


async def test_an_older_commit_by_its_full_and_its_short_id(repository, source, into):
    commits = [repository.commit(app=str(n)) for n in range(5)]
    for wanted in (commits[1], commits[1][:7], commits[1].upper()):
        fetched = await source.fetch(SourceRequest(repository.url, "main", wanted), into)
        assert fetched.commit == commits[1]
        assert (into / "app").read_text() == "1"


async def test_a_full_commit_needs_no_branch_that_leads_to_it(repository, source, into):
    repository.commit(app="trunk")
    git(repository.folder, "checkout", "--quiet", "-b", "gone")
    commit = repository.commit(app="merged")
    git(repository.folder, "checkout", "--quiet", "main")
    git(repository.folder, "branch", "-D", "gone")
    fetched = await source.fetch(SourceRequest(repository.url, "gone", commit), into)
    assert (fetched.commit, fetched.branch) == (commit, "gone")
    assert (into / "app").read_text() == "merged"
    error = await failing(source, into, repository.url, "gone", commit[:10])
    assert error.code is ErrorCode.SOURCE_REF_NOT_FOUND
    assert "'gone'" in error.message
    error = await failing(source, into, repository.url, "gone", "1" * 40)
    assert error.code is ErrorCode.SOURCE_REF_NOT_FOUND
    assert "1" * 40 in error.message


async def test_refs_mean_what_they_say(repository, source, into):
    tagged = repository.commit(app="tagged")
    git(repository.folder, "tag", "--annotate", "x", "--message", "x")
    git(repository.folder, "tag", "y")
    tip = repository.commit(app="tip")
    git(repository.folder, "branch", "x")
    wanted = {"x": tip, "refs/heads/x": tip, "refs/tags/x": tagged, "y": tagged, "refs/tags/y": tagged}
    for name, commit in wanted.items():
        fetched = await source.fetch(SourceRequest(repository.url, name), into)
        assert (name, fetched.commit) == (name, commit)
        again = await source.fetch(SourceRequest(repository.url, fetched.branch), into)
        assert (name, again.commit) == (name, commit)  # what is recorded means the same
    for name in ("refs/heads/y", "refs/tags/main", "refs/heads/refs/tags/x"):
        assert (await failing(source, into, repository.url, name)).code is ErrorCode.SOURCE_REF_NOT_FOUND


async def test_a_second_attempt_begins_anew(repository, source, into):
    repository.commit(app="one")
    (into / "left over").mkdir(parents=True)
    (into / "left over" / "x").write_text("")
    (into / "left over").chmod(0o500)
    (into.parent / ".tree.git").mkdir()
    await source.fetch(SourceRequest(repository.url), into)
    assert [p.name for p in into.iterdir()] == ["app"]


async def test_an_unknown_repository(source, into, tmp_path):
    error = await failing(source, into, str(tmp_path / "nothing"))
    assert error.code is ErrorCode.SOURCE_NOT_FOUND
    assert "nothing" in error.message


async def test_a_missing_branch_is_named(repository, source, into):
    repository.commit(app="one")
    git(repository.folder, "branch", "other/release")
    error = await failing(source, into, repository.url, "release")
    assert error.code is ErrorCode.SOURCE_REF_NOT_FOUND
    assert "'release'" in error.message
    assert repository.url in error.message


async def test_an_empty_repository_has_no_default_branch(repository, source, into):
    error = await failing(source, into, repository.url)
    assert error.code is ErrorCode.SOURCE_REF_NOT_FOUND


@pytest.mark.parametrize("commit", ["0" * 40, "abcdef0"])
async def test_a_missing_commit_is_named(repository, source, into, commit):
    repository.commit(app="one")
    error = await failing(source, into, repository.url, "main", commit)
    assert error.code is ErrorCode.SOURCE_REF_NOT_FOUND
    assert commit in error.message


async def test_what_the_repository_brings_is_not_executed(repository, source, into, tmp_path):
    mark = tmp_path / "executed"
    hooks = repository.folder / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-merge"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{mark}'\n")
        (hooks / name).chmod(0o755)
    repository.commit(
        app="one",
        __gitattributes="* filter=evil diff=evil\n",
        __gitmodules='[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch mark"\n',
        __lfsconfig="[lfs]\n\turl = http://127.0.0.1:1/\n",
    )
    git(repository.folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    git(repository.folder, "commit", "--quiet", "--message", "submodule")
    git(repository.folder, "config", "core.hooksPath", str(hooks))
    git(repository.folder, "config", "uploadpack.packObjectsHook", f"touch '{mark}'; exec")
    await source.fetch(SourceRequest(repository.url), into)
    assert (into / "app").read_text() == "one"
    assert not mark.exists()
    assert not any((into / "x").iterdir())


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
async def test_a_link_that_leaves_the_tree_is_refused(repository, source, into, target):
    repository.commit(app="one")
    (repository.folder / "link").symlink_to(target)
    repository.commit()
    error = await failing(source, into, repository.url)
    assert error.code is ErrorCode.SOURCE_FORBIDDEN
    assert "'link'" in error.message


async def test_a_link_that_leaves_the_tree_by_way_of_another_is_refused(repository, source, into):
    (repository.folder / "a" / "b").mkdir(parents=True)
    (repository.folder / "a" / "b" / "up").symlink_to("../..")
    (repository.folder / "out").symlink_to("a/b/up/..")
    repository.commit(app="one")
    assert (await failing(source, into, repository.url)).code is ErrorCode.SOURCE_FORBIDDEN


async def test_links_inside_of_the_tree_stay(repository, source, into):
    (repository.folder / "link").symlink_to("app")
    repository.commit(app="one")
    await source.fetch(SourceRequest(repository.url), into)
    assert (into / "link").read_text() == "one"


@pytest.mark.parametrize(
    ("url", "branch"),
    [
        ("ext::sh -c 'touch /tmp/x'", None),
        ("git://example.com/x", None),
        ("--upload-pack=touch", None),
        ("file://elsewhere/x", None),
    ],
)
async def test_dangerous_addresses_never_reach_git(source, into, url, branch):
    assert (await failing(source, into, url, branch)).code is ErrorCode.SOURCE_FORBIDDEN


async def test_a_branch_cannot_be_an_option(repository, source, into):
    repository.commit(app="one")
    error = await failing(source, into, repository.url, "--upload-pack=touch")
    assert error.code is ErrorCode.SOURCE_REF_NOT_FOUND


async def test_local_folders_only_where_allowed(repository, into):
    strict = GitSource(allow_file=False, allow_private=False)
    error = await failing(strict, into, repository.url)
    assert error.code is ErrorCode.SOURCE_FORBIDDEN
    assert "https://, ssh://" in error.message


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "https://[::1]/x", "ssh://git@0x7f000001/x", "localhost:x"])
async def test_private_hosts_only_where_allowed(into, url):
    strict = GitSource(allow_file=False, allow_private=False)
    error = await failing(strict, into, url)
    assert error.code is ErrorCode.SOURCE_FORBIDDEN
    assert "private or loopback" in error.message


async def test_a_repository_over_the_limit_is_refused_before_it_is_written(repository, into):
    repository.commit(app="x" * 200_000)
    small = GitSource(allow_file=True, allow_private=True, max_bytes=100_000)
    error = await failing(small, into, repository.url)
    assert error.code is ErrorCode.SOURCE_TOO_LARGE
    assert not any(into.iterdir())


async def test_a_repository_of_another_user(repository, source, into):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    commit = repository.commit(app="one")
    for folder, names, files in os.walk(repository.folder):
        for name in (".", *names, *files):
            os.chown(Path(folder) / name, 65534, 65534, follow_symlinks=False)
    assert (await source.fetch(SourceRequest(repository.url), into)).commit == commit


async def test_two_fetches_give_the_same_tree(repository, source, tmp_path):
    repository.commit(app="one")
    both = [tmp_path / "one", tmp_path / "two"]
    await asyncio.gather(*(source.fetch(SourceRequest(repository.url), into) for into in both))
    assert (both[0] / "app").stat().st_mtime == (both[1] / "app").stat().st_mtime


async def test_git_itself_is_missing(repository, into):
    with pytest.raises(DependencyError, match="not installed"):
        await GitSource(allow_file=True, allow_private=True, git="no-such-git").fetch(
            SourceRequest(repository.url), into
        )


@pytest.fixture
def hanging_git(tmp_path: Path) -> Path:
    """A git that starts a child, says where it is, and never ends."""
    script = tmp_path / "git-hangs"
    script.write_text(
        f"#!/bin/sh\nsleep 600 &\necho $! > '{tmp_path}/child.new'\n"
        f"mv '{tmp_path}/child.new' '{tmp_path}/child'\nwait\n"
    )
    script.chmod(0o755)
    return script


async def child_of(tmp_path: Path) -> int:
    async with asyncio.timeout(120):
        while not (tmp_path / "child").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
    return int((tmp_path / "child").read_text())


async def gone(pid: int) -> bool:
    def state() -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "Z"

    async with asyncio.timeout(120):
        while state() != "Z":  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)
    return True


async def test_cancelling_ends_every_process(hanging_git, tmp_path, into):
    source = GitSource(allow_file=True, allow_private=True, git=str(hanging_git))
    task = asyncio.create_task(source.fetch(SourceRequest("/x"), into))
    child = await child_of(tmp_path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(child)
    assert not (into.parent / ".tree.git").exists()


HELD = "sleep 600 & wait"  # the child keeps the pipes open, whoever ends the shell alone


@pytest.mark.parametrize("turns", range(1, 8))
async def test_cancelled_while_it_starts_it_ends(turns):
    pipe = asyncio.subprocess.PIPE
    start = asyncio.create_subprocess_exec("sh", "-c", HELD, stdout=pipe, stderr=pipe, start_new_session=True)
    starting = asyncio.create_task(git_process._whole(start))
    for _ in range(turns):  # of the loop: each finds it at another place
        await asyncio.sleep(0)
    starting.cancel()
    async with asyncio.timeout(120):
        [done] = await asyncio.gather(starting, return_exceptions=True)
    if not isinstance(done, asyncio.CancelledError):
        await git_process._end(done)  # it was there already


async def test_a_remote_that_hangs_is_a_dependency_that_does_not_answer(hanging_git, tmp_path, into):
    source = GitSource(allow_file=True, allow_private=True, git=str(hanging_git), timeout_s=3)
    with pytest.raises(DependencyError, match="took longer"):
        await source.fetch(SourceRequest("/x"), into)
    assert await gone(await child_of(tmp_path))


async def test_a_second_attempt_ends_the_git_of_a_worker_that_was_killed(
    repository, hanging_git, tmp_path, source, into
):
    repository.commit(app="one")
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from drivers.sources.base import SourceRequest; from drivers.sources.git import GitSource\n"
        "source = GitSource(allow_file=True, allow_private=True, git=sys.argv[1])\n"
        "asyncio.run(source.fetch(SourceRequest('/x'), Path(sys.argv[2])))"
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, hanging_git, into, cwd=Path(__file__).parents[3]
    )
    child = await child_of(tmp_path)
    async with asyncio.timeout(120):
        while not (into.parent / ".tree.git" / "process").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
    worker.kill()
    await worker.wait()
    await source.fetch(SourceRequest(repository.url), into)
    assert await gone(child)


async def test_a_download_that_grows_over_the_limit_is_ended(tmp_path, into):
    endless = tmp_path / "git-endless"
    endless.write_text("#!/bin/sh\nwhile :; do head -c 100000 /dev/zero >> pack; sleep 0.01; done\n")
    endless.chmod(0o755)
    source = GitSource(allow_file=True, allow_private=True, git=str(endless), max_bytes=300_000)
    assert (await failing(source, into, "/x")).code is ErrorCode.SOURCE_TOO_LARGE
    assert not (into.parent / ".tree.git").exists()


async def test_a_file_is_no_repository(source, into, tmp_path):
    (tmp_path / "file").write_text("x")
    assert (await failing(source, into, str(tmp_path / "file"))).code is ErrorCode.SOURCE_NOT_FOUND


async def test_ssh_to_a_host_that_refuses(source, into):
    with pytest.raises(DependencyError, match=r"ssh://git@127\.0\.0\.1:1/x"):
        await source.fetch(SourceRequest("ssh://git@127.0.0.1:1/x"), into)


async def test_a_tag_that_is_no_commit(repository, source, into):
    repository.commit(app="one")
    git(repository.folder, "tag", "blob", git(repository.folder, "rev-parse", "HEAD:app"))
    assert (await failing(source, into, repository.url, "blob")).code is ErrorCode.SOURCE_REF_NOT_FOUND


async def test_a_repository_of_sha256_commits(tmp_path, source, into):
    other = Repository.__new__(Repository)
    other.folder = tmp_path / "sha256"
    other.folder.mkdir()
    git(other.folder, "init", "--quiet", "--object-format=sha256")
    first = other.commit(app="one")
    other.commit(app="two")
    assert len(first) == 64
    for wanted in (first, first[:9]):
        assert (await source.fetch(SourceRequest(other.url, None, wanted), into)).commit == first


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    with serve_repositories(tmp_path) as base:
        yield base


async def test_over_http_from_a_real_server(repository, source, into, served):
    commits = [repository.commit(app=str(n)) for n in range(4)]
    url = f"{served}/a%20repo/.git"
    for wanted, found in ((None, commits[3]), (commits[0], commits[0]), (commits[1][:8], commits[1])):
        fetched = await source.fetch(SourceRequest(url, None, wanted), into)
        assert (fetched.commit, fetched.branch) == (found, "main")


@pytest.mark.parametrize("path", ["missing", "redirect", "private"])
async def test_http_answers_that_mean_no_such_repository(source, into, served, path):
    error = await failing(source, into, f"{served}/{path}")
    assert error.code is ErrorCode.SOURCE_NOT_FOUND


async def test_a_server_in_trouble_and_no_server_are_worth_a_retry(source, into, served):
    for url in (f"{served}/broken", "http://127.0.0.1:1/x"):
        with pytest.raises(DependencyError):
            await source.fetch(SourceRequest(url), into)
