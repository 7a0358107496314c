"""Where git may connect: the address that was judged, and no other, whatever a name, a server or a repository says."""

import asyncio
import base64
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import DeliveryError, DependencyError, ErrorCode, TerminalError
from domain.repository_url import parse_repository_url
from drivers.sources.base import SourceRequest
from drivers.sources.egress import EgressGuard
from drivers.sources.git import GitSource
from drivers.sources.hosts import HostGuard
from runtime.outbound import LookupUnavailableError, NoSuchNameError, Resolve
from tests.drivers.sources.git_server import Seen, serve_repositories
from tests.drivers.sources.test_git_source import Repository, git

PUBLIC = "93.184.215.14"
OPEN = HostGuard(allow_private=True)
CLOSED = HostGuard(allow_private=False)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "tree"


class Listener:
    """Counts who comes; whoever comes is told goodbye."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.write(b"hello")
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    made = Listener()
    server = await asyncio.start_server(made.welcome, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def asked(egress: EgressGuard, target: str, *, password: str | None = None, method: str = "CONNECT") -> bytes:
    """What the proxy answers, to the end."""
    secret = egress.words.partition(" ")[2] if password is None else password
    auth = base64.b64encode(f"git:{secret}".encode()).decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", egress.port)
    with contextlib.closing(writer):
        writer.write(f"{method} {target} HTTP/1.1\r\nProxy-Authorization: Basic {auth}\r\n\r\n".encode())
        async with asyncio.timeout(120):
            return await reader.read()


def address(listener: Listener, host: str = "127.0.0.1"):
    return parse_repository_url(f"https://{host}:{listener.port}/x")


async def test_the_proxy_leads_to_the_repositorys_host_and_to_nowhere_else(listener):
    async with EgressGuard(address(listener), OPEN) as egress:
        assert (await asked(egress, f"127.0.0.1:{listener.port}")).endswith(b"\r\n\r\nhello")
        for target in (f"localhost:{listener.port}", "127.0.0.1:1", f"[::1]:{listener.port}", "10.0.0.1:443"):
            assert (await asked(egress, target)).startswith(b"HTTP/1.1 403")
            assert egress.refusal.code is ErrorCode.SOURCE_FORBIDDEN
    assert listener.visits == 1


async def test_nobody_without_the_password_gets_through(listener):
    async with EgressGuard(address(listener), OPEN) as egress:
        for password in ("", "guess"):
            assert (await asked(egress, f"127.0.0.1:{listener.port}", password=password)).startswith(b"HTTP/1.1 407")
        for target, method in (("nonsense", "CONNECT"), ("ftp://127.0.0.1/x", "GET"), ("/x", "GET")):
            assert (await asked(egress, target, method=method)).startswith(b"HTTP/1.1 400")
    assert listener.visits == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_private_address_is_refused_where_it_is_connected_to(listener, host):
    async with EgressGuard(address(listener, host), CLOSED) as egress:
        assert (await asked(egress, f"{host}:{listener.port}")).startswith(b"HTTP/1.1 403")
        assert "private or loopback" in egress.refusal.message
    assert listener.visits == 0


async def test_a_network_that_the_operator_named_is_reached(listener):
    guard = HostGuard(allow_private=False, networks=(ipaddress.ip_network("127.0.0.0/8"),))
    async with EgressGuard(address(listener), guard) as egress:
        assert (await asked(egress, f"127.0.0.1:{listener.port}")).endswith(b"hello")


async def test_connections_end_with_the_fetch(listener):
    async with EgressGuard(address(listener), OPEN) as egress:
        reader, writer = await asyncio.open_connection("127.0.0.1", egress.port)
    with contextlib.closing(writer):
        async with asyncio.timeout(120):
            assert await reader.read() == b""


def rebinding(*answers: str) -> Resolve:
    """A name that means something else each time it is asked for; the last meaning stays."""
    left = list(answers)

    async def resolve(_host: str) -> list[str]:
        return [left.pop(0) if len(left) > 1 else left[0]]

    return resolve


@pytest.mark.parametrize("scheme", ["https://", "ssh://git@"])
async def test_a_name_that_changes_its_meaning_after_it_was_judged_leads_nowhere(listener, into, scheme):
    names = rebinding(PUBLIC, "127.0.0.1")
    source = GitSource(allow_file=False, allow_private=False, timeout_s=120, resolve=names)
    with pytest.raises(DeliveryError, match="private or loopback") as caught:
        await source.fetch(SourceRequest(f"{scheme}git.example.com:{listener.port}/x"), into)
    assert caught.value.code is ErrorCode.SOURCE_FORBIDDEN
    assert listener.visits == 0


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (NoSuchNameError("x"), TerminalError, "there is no host git.example.com"),
        (LookupUnavailableError("x"), DependencyError, "cannot be looked up now"),
    ],
)
async def test_a_host_that_does_not_exist_is_not_tried_again_and_a_lookup_that_fails_is(into, error, kind, words):
    async def resolve(_host: str) -> list[str]:
        raise error

    source = GitSource(allow_file=False, allow_private=False, resolve=resolve)
    with pytest.raises(kind, match=words):
        await source.fetch(SourceRequest("https://git.example.com/x"), into)


async def test_a_lookup_without_an_answer_ends_with_its_limit(monkeypatch, into):
    monkeypatch.setattr("drivers.sources.hosts.RESOLVE_TIMEOUT_S", 0.05)
    source = GitSource(allow_file=False, allow_private=False, resolve=lambda _: asyncio.Event().wait())
    with pytest.raises(DependencyError, match="in time"):
        await source.fetch(SourceRequest("https://git.example.com/x"), into)


async def test_git_never_resolves_by_itself(tmp_path, into):
    """The name exists nowhere but in the judge's answer."""
    repository = Repository(tmp_path / "served" / "shop")
    repository.commit(app="one")
    with serve_repositories(tmp_path / "served") as base:
        url = base.replace("127.0.0.1", "git.nowhere.invalid") + "/shop/.git"
        source = GitSource(allow_file=False, allow_private=True, resolve=rebinding("127.0.0.1"))
        await source.fetch(SourceRequest(url), into)
    assert (into / "app").read_text() == "one"


async def test_redirects_submodules_and_lfs_lead_nowhere(tmp_path, into, listener):
    elsewhere = f"http://127.0.0.1:{listener.port}/x"
    repository = Repository(tmp_path / "served" / "shop")
    repository.commit(
        app="one",
        __gitmodules=f'[submodule "x"]\n\tpath = x\n\turl = {elsewhere}\n',
        __gitattributes="big filter=lfs diff=lfs merge=lfs -text\n",
        __lfsconfig=f"[lfs]\n\turl = {elsewhere}\n",
        big="version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n",
    )
    git(repository.folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    git(repository.folder, "commit", "--quiet", "--message", "submodule")
    source = GitSource(allow_file=False, allow_private=True)
    seen = Seen(redirect=elsewhere)
    with serve_repositories(tmp_path / "served", seen=seen) as base:
        await source.fetch(SourceRequest(f"{base}/shop/.git"), into)
        with pytest.raises(DeliveryError, match="redirect"):
            await source.fetch(SourceRequest(f"{base}/redirect"), into)
    assert listener.visits == 0


async def test_the_engines_own_folders_are_no_repositories(tmp_path, into):
    mine = Repository(tmp_path / "data" / "workspaces" / "theirs")
    mine.commit(app="one")
    (tmp_path / "link").symlink_to(mine.folder)
    source = GitSource(allow_file=True, allow_private=True, hidden=(tmp_path / "data",))
    for url in (str(mine.folder), mine.folder.as_uri(), str(tmp_path / "link"), f"{tmp_path}/data/../data/workspaces"):
        with pytest.raises(DeliveryError) as caught:
            await source.fetch(SourceRequest(url), into)
        assert caught.value.code is ErrorCode.SOURCE_FORBIDDEN
