"""A mock of a service with OSV's API, on loopback: the real one cannot be reached from tests.

It compares no versions: it answers the advisories of a package's name. What it was asked is kept.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

Answer = tuple[int, bytes]
_HEAD = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class MockOsv:
    """Answers by `told` (ids by ecosystem and name) and `records` (by id), or by `answer` where that gives one."""

    def __init__(self, told: dict[tuple[str, str], list[str]], records: dict[str, Any], page: int = 1000) -> None:
        self.told = told
        self.records = records
        self.page = page
        self.asked: list[tuple[str, Any]] = []
        self.answer: Callable[[str], Answer | None] = lambda _: None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = _HEAD.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                path = head.split(b" ")[1].decode()
                self.asked.append((path, json.loads(body) if body else None))
                status, content = self.answer(path) or self.known(path, body)
                writer.write(
                    b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nRetry-After: 0\r\n\r\n" % (status, len(content)) + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def known(self, path: str, body: bytes) -> Answer:
        if path == "/v1/querybatch":
            return 200, json.dumps({"results": [self.result(each) for each in json.loads(body)["queries"]]}).encode()
        record = self.records.get(path.removeprefix("/v1/vulns/"))
        return (200, json.dumps(record).encode()) if record else (404, b'{"code":5,"message":"Bug not found."}')

    def result(self, query: dict[str, Any]) -> dict[str, Any]:
        ids = self.told.get((query["package"]["ecosystem"], query["package"]["name"]), [])
        start = int(query.get("page_token", 0))
        page = ids[start : start + self.page]
        more = {"next_page_token": str(start + self.page)} if len(ids) > start + self.page else {}
        vulns = [{"id": each, "modified": (self.records.get(each) or {}).get("modified", "")} for each in page]
        return ({"vulns": vulns} if vulns else {}) | more


@asynccontextmanager
async def serving(mock: MockOsv) -> AsyncIterator[MockOsv]:
    """While it is entered."""
    server = await asyncio.start_server(mock.serve, "127.0.0.1", 0, limit=1 << 20)
    mock.port = server.sockets[0].getsockname()[1]
    try:
        yield mock
    finally:
        server.close()
