"""A small real HTTP/1.1 service, several of them in one process: says who it is, and misbehaves on request."""

import asyncio
import json
from contextlib import suppress

MAX_HEAD = 65536


class Upstream:
    """Listens on a free port of 127.0.0.1.

    `/slow` answers once `release` is set, `/fail` with 500, `/reset` breaks the connection, a WebSocket echoes 4 bytes,
    everything else answers 200 with name, path and headers. `/health` says 503 while `healthy` is False.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.healthy = True
        self.answered = 0
        self.port = 0
        self.release = asyncio.Event()
        self.waiting = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> "Upstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        if path == "/reset":
            writer.transport.abort()
            return False
        if path == "/slow":
            self.waiting.set()
            await self.release.wait()
        if headers.get("upgrade") == "websocket":
            writer.write(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            writer.write(await reader.readexactly(4))
            return False
        status = 500 if path == "/fail" else 503 if path == "/health" and not self.healthy else 200
        self.answered += path != "/health"
        body = json.dumps({"name": self.name, "path": path, "headers": headers}).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nx-delivery-release: forged\r\n\r\n".encode() + body
        )
        await writer.drain()
        return True
