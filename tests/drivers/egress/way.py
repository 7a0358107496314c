"""A proxy on real sockets, somebody to reach, and names that mean what a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from domain.destinations import DEFAULT_PORTS, Destination, Rules
from drivers.egress.doors import Doors
from drivers.egress.proxy import Proxy
from drivers.egress.sandboxes import SOCKET, Sandbox, Sandboxes, opened
from drivers.egress.shares import Limits, Shares
from drivers.egress.streams import Stream
from runtime.outbound import LookupUnavailableError, NoSuchNameError

LIMIT_S = 120


@dataclass
class Listener:
    """Somebody on loopback: keeps what it hears up to the first silence, and says `answer`."""

    answer: bytes = b"hello"
    heard: list[bytes] = field(default_factory=list)
    visits: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        with contextlib.suppress(OSError), contextlib.closing(writer):
            writer.write(self.answer)
            await writer.drain()
            self.heard.append(await reader.read())
            self.left.set()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls) -> AsyncIterator["Listener"]:
        made = cls()
        server = await asyncio.start_server(made.welcome, "127.0.0.1", 0)
        made.port = server.sockets[0].getsockname()[1]
        async with server:
            yield made


class Way:
    """A proxy of the test's, and the sandboxes that use it."""

    def __init__(self, root: Path, owner: Path) -> None:
        self.sandboxes = Sandboxes(root)
        self.owner = owner
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.is_name_server_away = False
        self._running: asyncio.Task[None] | None = None

    async def resolve(self, host: str) -> list[str]:
        """The next meaning of a name; its last one stays."""
        self.asked.append(host)
        if self.is_name_server_away:
            raise LookupUnavailableError(host)
        meanings = self.names.get(host)
        if not meanings:
            raise NoSuchNameError(host)
        return meanings.pop(0) if len(meanings) > 1 else meanings[0]

    async def start(
        self, *, everybody: str = "", listed: str = "", ports: str = DEFAULT_PORTS, **limits: float
    ) -> None:
        rules = Rules.parse(ports=ports, everybody=everybody, listed=listed)
        self.shares = Shares(Limits(**limits))
        proxy = Proxy(rules, self.shares, self.resolve)
        ready = asyncio.Event()
        self._running = asyncio.create_task(Doors(self.sandboxes, proxy).run(ready.set))
        async with asyncio.timeout(LIMIT_S):
            await ready.wait()

    async def stop(self) -> None:
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def door(self, name: str = "one", organization: str = "acme", listed: tuple[Destination, ...] = ()) -> Path:
        return await self.sandboxes.open(Sandbox(name, organization, "shop", self.owner, listed))


async def connect(door: Path) -> Stream:
    """What a sandbox's bridge does."""
    with opened(door) as folder:
        return await asyncio.open_unix_connection(folder.path(SOCKET))


async def ask(door: Path, request: bytes, *, end: bool = True) -> bytes:
    """Everything that is answered."""
    reader, writer = await connect(door)
    with contextlib.closing(writer):
        writer.write(request)
        if end and writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()


async def tunnel(door: Path, to: str, *, end: bool = True) -> bytes:
    return await ask(door, f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n".encode(), end=end)
