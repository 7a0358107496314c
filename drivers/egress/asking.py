"""Parses requests to the egress proxy: HTTP (CONNECT or an absolute URL) or SOCKS 5, told apart by the first byte."""

import asyncio
import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from domain.destinations import Destination, Verdict, plain_host

HEAD_TIMEOUT_S = 15.0
MAX_HEAD = 64 * 1024
JUDGE = "JUDGE"
"""Our own method: `JUDGE host:port` is answered like CONNECT, but without connecting."""
_SOCKS, _SOCKS_4 = 5, 4
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
_VISIBLE = re.compile(r"[!-~]+")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\r\n]*")


class Unanswerable(Exception):  # noqa: N818 - a refusal, not a fault of ours
    """A request that cannot be served. The message goes to the client: one line of ASCII."""

    def __init__(self, verdict: Verdict, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.verdict = verdict
        self.words = words
        self.status = status or STATUS[verdict]


FORBIDDEN = 403
STATUS = {
    Verdict.BAD_REQUEST: 400,
    Verdict.PORT: FORBIDDEN,
    Verdict.ADDRESS: FORBIDDEN,
    Verdict.NO_HOST: 502,
    Verdict.UNREACHABLE: 502,
    Verdict.TIMEOUT: 504,
    Verdict.TOO_MANY: 503,
}
# RFC 1928, 6.
_REPLY = {
    Verdict.BAD_REQUEST: 1,
    Verdict.PORT: 2,
    Verdict.ADDRESS: 2,
    Verdict.NO_HOST: 4,
    Verdict.UNREACHABLE: 5,
    Verdict.TIMEOUT: 6,
    Verdict.TOO_MANY: 1,
}


@dataclass(frozen=True)
class Tunnel:
    """A connection whose bytes are passed on unchanged; `yes` is sent to the client first."""

    to: Destination
    yes: bytes


@dataclass(frozen=True)
class Question:
    """Whether a tunnel would be allowed, without connecting. The engine asks this before a deployment."""

    to: Destination
    yes: bytes


@dataclass(frozen=True)
class Forward:
    """One plain HTTP request. Its body has not been read yet.

    Attributes:
        head: as received.
        path: the request target for the server.
        authority: the `Host` header.
    """

    to: Destination
    head: bytes
    path: str
    authority: str


class Http:
    """The request of one HTTP client, and its answers."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    def parse(self) -> Tunnel | Question | Forward:
        """Raises `Unanswerable`."""
        line, *headers = self._head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        words = line.decode("latin-1").split(" ")
        if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0") or not _VISIBLE.fullmatch(words[1]):  # noqa: PLR2004 - method, target, version
            raise _bad("not a request to a proxy")
        if not all(map(_HEADER.fullmatch, headers)):
            raise _bad("a header is not of HTTP's form")
        method, target, _ = words
        if method == JUDGE:
            return Question(_destination(target), b"HTTP/1.1 204 Allowed\r\n\r\n")
        if method != "CONNECT":
            return self._forward(target)
        if any(_name(header) in (b"content-length", b"transfer-encoding") for header in headers):
            raise _bad("CONNECT has no body")
        return Tunnel(_destination(target), b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _forward(self, target: str) -> Forward:
        try:
            parts = urlsplit(target)
        except ValueError as error:
            raise _bad("the URL has brackets around something else than an IPv6 address") from error
        if parts.scheme.lower() != "http":
            raise _bad("only http URLs are forwarded; use CONNECT for everything else")
        if "@" in parts.netloc or "\\" in target or "#" in target:
            raise _bad("no user, password or fragment in a URL to a proxy")
        if not parts.netloc:
            raise _bad("the URL names no host")
        ends_in_port = re.search(r":\d*$", parts.netloc)
        authority = parts.netloc if ends_in_port else f"{parts.netloc}:80"
        to = _destination(f"{authority}80" if authority.endswith(":") else authority)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Forward(to, self._head, path, parts.netloc.lower())

    @staticmethod
    def no(why: Unanswerable) -> bytes:
        """The refusal. Most clients show only its first line."""
        body = f"{why.words}\n".encode("ascii", "replace")
        head = (
            f"HTTP/1.1 {why.status} {why.words}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii", "replace") + body


class Socks:
    """SOCKS 5 without a password (RFC 1928), CONNECT only."""

    @staticmethod
    async def parse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Tunnel:
        """The first byte of the greeting has been read. Raises `Unanswerable`, `EOFError`."""
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        if 0 not in methods:
            writer.write(b"\x05\xff")
            raise _bad("SOCKS without a password only")
        writer.write(b"\x05\x00")
        await writer.drain()
        version, command, _, kind = await reader.readexactly(4)
        if version != _SOCKS:
            raise _bad("only SOCKS 5")
        host = await _host(reader, kind)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        if command != 1 or port == 0:
            raise _bad("only connections, to ports from 1 on")
        try:
            return Tunnel(Destination(plain_host(host), port), _reply(0))
        except ValueError as error:
            raise _bad(f"the host {error}") from None

    @staticmethod
    def no(why: Unanswerable) -> bytes:
        """The refusal."""
        return _reply(_REPLY[why.verdict])


class Socks4:
    """SOCKS 4, which has no IPv6: refused in its own format."""

    @staticmethod
    async def parse(*_: object) -> Tunnel:
        """Raises `Unanswerable`."""
        raise _bad("only SOCKS 5")

    @staticmethod
    def no(_: Unanswerable) -> bytes:
        """The refusal."""
        return b"\x00\x5b" + bytes(6)


async def first_byte(reader: asyncio.StreamReader) -> int:
    """The byte that tells the protocols apart. Raises `EOFError`."""
    return (await reader.readexactly(1))[0]


def spoken(first: int) -> type[Http | Socks | Socks4]:
    """The protocol of a connection by its first byte: everything that is not SOCKS counts as HTTP."""
    return Socks if first == _SOCKS else Socks4 if first == _SOCKS_4 else Http


async def read_head(reader: asyncio.StreamReader, first: int) -> bytes:
    """The head of an HTTP request. Raises `Unanswerable`, `EOFError`; the reader's limit is `MAX_HEAD`."""
    if not _METHOD.match(bytes([first])):
        raise _bad("this is a proxy for HTTP, CONNECT and SOCKS 5")
    try:
        return bytes([first]) + await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Unanswerable(
            Verdict.BAD_REQUEST, f"the head of a request has at most {MAX_HEAD // 1024} KiB", 431
        ) from None


def _destination(text: str) -> Destination:
    if "@" in text:
        raise _bad("no user or password in what a proxy is asked for")
    try:
        return Destination.parse(text)
    except ValueError as error:
        raise _bad(f"the destination {error}") from None


async def _host(reader: asyncio.StreamReader, kind: int) -> str:
    if kind == 1:
        return str(IPv4Address(await reader.readexactly(4)))
    if kind == 4:  # noqa: PLR2004 - the protocol's
        return str(IPv6Address(await reader.readexactly(16)))
    if kind != 3:  # noqa: PLR2004 - the protocol's
        raise _bad("an address of an unknown kind")
    return (await reader.readexactly((await reader.readexactly(1))[0])).decode("latin-1")


def _reply(code: int) -> bytes:
    return bytes([_SOCKS, code, 0, 1]) + bytes(6)


def _name(header: bytes) -> bytes:
    return header.partition(b":")[0].lower()


def _bad(words: str) -> Unanswerable:
    return Unanswerable(Verdict.BAD_REQUEST, words)
