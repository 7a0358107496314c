"""The only egress for the git of one fetch: a proxy in this process that connects only to addresses it has checked.

Git and ssh never resolve a name. So neither DNS rebinding, nor a redirect, a submodule or anything else that a
repository makes git do can lead to another host than the one of the repository's URL.
"""

import asyncio
import base64
import contextlib
import hmac
import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from domain.errors import DeliveryError, DependencyError, ErrorCode, TerminalError
from domain.repository_url import RepositoryUrl, Scheme
from drivers.egress.streams import Stream, dial, join
from drivers.sources.hosts import HostGuard
from runtime.outbound import UnreachableError

HEAD_TIMEOUT_S = 15
MAX_HEAD = 64 * 1024
_PORTS = {Scheme.HTTPS: 443, Scheme.HTTP: 80, Scheme.SSH: 22}
_HOP_BY_HOP = (b"proxy-authorization", b"proxy-connection", b"connection", b"keep-alive")


@dataclass(frozen=True)
class _Asked:
    """A request to the proxy: the destination, and the first bytes for the other side (none for CONNECT)."""

    host: str
    port: int
    first: bytes
    tunnel: bool


class EgressGuard:
    """Listens on loopback within the context. Clients need its password.

    Attributes:
        refusal: why it refused a connection, for a better message than git's.
    """

    def __init__(self, address: RepositoryUrl, guard: HostGuard) -> None:
        self._target = (_plain(address.host or ""), address.port or _PORTS[address.scheme])
        self._guard = guard
        self._password = secrets.token_urlsafe(24)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.refusal: DeliveryError | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not entered"  # noqa: S101 - a fault of ours, and for the type checker
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """For git; contains the password."""
        return f"http://git:{self._password}@127.0.0.1:{self.port}"

    @property
    def words(self) -> str:
        """For `ssh_proxy_command.py`; contains the password."""
        return f"{self.port} {self._password}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=MAX_HEAD)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "not entered"  # noqa: S101 - as above
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError, TimeoutError):
            try:
                asked = await self._asked(reader)
                there = await self._connect(asked)
            except _AnswerError as answer:
                writer.write(answer.head())
                await writer.drain()
                return
            with contextlib.closing(there[1]):
                if asked.tunnel:
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                there[1].write(asked.first)
                await join((reader, writer), there)

    async def _asked(self, reader: asyncio.StreamReader) -> _Asked:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise _AnswerError(431) from None
        line, *headers = head[:-4].split(b"\r\n")
        if not any(map(self._is_password, headers)):
            raise _AnswerError(407)
        try:
            return _parse(line, headers)
        except (ValueError, UnicodeDecodeError):
            raise _AnswerError(400) from None

    def _is_password(self, header: bytes) -> bool:
        name, _, value = header.partition(b":")
        good = b"Basic " + base64.b64encode(f"git:{self._password}".encode())
        return name.strip().lower() == b"proxy-authorization" and hmac.compare_digest(value.strip(), good)

    async def _connect(self, asked: _Asked) -> Stream:
        """Connect to the first of the checked addresses that answers.

        Raises:
            _AnswerError: another host, not allowed, or not answering.
        """
        try:
            if (asked.host, asked.port) != self._target:
                raise _elsewhere(asked, self._target)
            addresses = await self._guard.resolve(asked.host)
        except DeliveryError as error:
            self.refusal = error
            raise _AnswerError(503 if isinstance(error, DependencyError) else 403) from error
        try:
            return (await dial(addresses, asked.port))[1]
        except UnreachableError:
            raise _AnswerError(502) from None


class _AnswerError(Exception):
    """Ends a request to the proxy with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self._status = status

    def head(self) -> bytes:
        ask = 'Proxy-Authenticate: Basic realm="egress"\r\n' if self._status == 407 else ""  # noqa: PLR2004 - HTTP's
        return f"HTTP/1.1 {self._status} Refused\r\n{ask}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _parse(line: bytes, headers: list[bytes]) -> _Asked:
    method, target, version = line.decode("ascii").split(" ")
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        return _Asked(_plain(host), int(port), b"", tunnel=True)
    url = urlsplit(target)
    if url.scheme != "http" or not url.hostname:
        raise ValueError(target)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # One request per connection: the next one may have another destination, and is checked on its own.
    kept = [header for header in headers if header.partition(b":")[0].strip().lower() not in _HOP_BY_HOP]
    first = b"\r\n".join([f"{method} {path} {version}".encode(), *kept, b"Connection: close", b"", b""])
    return _Asked(_plain(url.hostname), url.port or 80, first, tunnel=False)


def _plain(host: str) -> str:
    """A host name in normalized spelling."""
    return host.strip("[]").rstrip(".").lower()


def _elsewhere(asked: _Asked, target: tuple[str, int]) -> TerminalError:
    return TerminalError(
        f"the repository sends git to {asked.host[:255]}:{asked.port}; only {target[0]}:{target[1]} of its address is "
        "reached: redirects, submodules and other places are not followed",
        code=ErrorCode.SOURCE_FORBIDDEN,
        details={"host": asked.host[:255]},
    )
