"""From a loopback address inside to a unix socket outside, raw or through a proxy's tunnel."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.drivers.bridge.bed import DEADLINE_S, free_port, reset, until
from tests.drivers.bridge.conftest import Begin

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def connected(port: int, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await asyncio.open_connection(address, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


async def reset_by(port: int) -> bool:
    """A client may learn of it while it still connects."""
    try:
        reader, _ = await connected(port)
        await reader.read()
    except ConnectionResetError:
        return True
    return False


async def shouting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read()).upper())
    writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_client_inside_talks_to_a_socket_outside(bridge: Begin, folder: Path) -> None:
    port = free_port()
    async with await asyncio.start_unix_server(shouting, folder / "out.sock"):
        await bridge("--out", f"127.0.0.9:{port}:{folder}/out.sock")
        assert await ask(*await connected(port, "127.0.0.9"), b"hello") == b"HELLO"


async def test_ipv6_and_several_ways_out_at_once(bridge: Begin, folder: Path) -> None:
    one, other = free_port(), free_port()
    async with await asyncio.start_unix_server(shouting, folder / "out.sock"):
        await bridge("--out", f"[::1]:{one}:{folder}/out.sock", "--out", f"127.0.0.2:{other}:{folder}/out.sock")
        assert await ask(*await connected(one, "::1"), b"six") == b"SIX"
        assert await ask(*await connected(other, "127.0.0.2"), b"four") == b"FOUR"


class Proxy:
    """Answers CONNECT as told, then shouts; `asked`: what it was asked."""

    def __init__(self, answer: bytes, *, pieces: int = 1) -> None:
        self.asked: list[bytes] = []
        self._answer = answer
        self._pieces = pieces

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        size = max(1, -(-len(self._answer) // self._pieces))
        for at in range(0, len(self._answer), size):
            writer.write(self._answer[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)
        if b" 200" not in self._answer:
            writer.close()
            return
        await shouting(reader, writer)


@pytest.mark.parametrize("pieces", [1, 3, 60])
async def test_a_tunnel_is_raw_for_the_client_also_when_the_server_speaks_first(
    bridge: Begin, folder: Path, pieces: int
) -> None:
    port = free_port()
    proxy = Proxy(b"HTTP/1.1 200 Connection established\r\nx-a: b\r\n\r\nwelcome ", pieces=pieces)
    async with await asyncio.start_unix_server(proxy, folder / "out.sock"):
        await bridge("--out", f"127.0.0.1:{port}:{folder}/out.sock:db.example.com:5432")
        assert await ask(*await connected(port), b"select") == b"welcome SELECT"
    assert proxy.asked == [b"CONNECT db.example.com:5432 HTTP/1.1\r\nHost: db.example.com:5432\r\n\r\n"]


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 403 the operator does not allow it\r\n\r\n", b"", b"nonsense", b"HTTP/1.1 500 x\r\n" + b"y" * 10_000],
    ids=["refused", "closed", "nonsense", "endless"],
)
async def test_a_tunnel_that_was_not_made_is_a_reset_and_a_line_in_the_log(
    bridge: Begin, folder: Path, answer: bytes
) -> None:
    port = free_port()
    async with await asyncio.start_unix_server(Proxy(answer), folder / "out.sock"):
        begun = await bridge("--out", f"127.0.0.1:{port}:{folder}/out.sock:db.example.com:5432")
        assert await reset_by(port)
    await begun.end()
    said = await begun.log()
    assert "db.example.com:5432: " in said
    if answer.startswith(b"HTTP/1.1 403"):
        assert "HTTP/1.1 403 the operator does not allow it" in said


async def test_without_the_socket_outside_a_client_is_reset_and_later_served(bridge: Begin, folder: Path) -> None:
    """The proxy is started again."""
    port = free_port()
    await bridge("--out", f"127.0.0.1:{port}:{folder}/out.sock")
    assert await reset_by(port)
    async with await asyncio.start_unix_server(shouting, folder / "out.sock"):
        assert await ask(*await connected(port), b"hello") == b"HELLO"


async def test_a_crowd_at_a_full_backlog_is_served_in_the_end(bridge: Begin, folder: Path) -> None:
    port = free_port()
    with socket.socket(socket.AF_UNIX) as slow:
        slow.bind(str(folder / "out.sock"))
        slow.listen(1)
        begun = await bridge("--out", f"127.0.0.1:{port}:{folder}/out.sock")
        clients = [await connected(port) for _ in range(20)]
        asked = asyncio.gather(*(ask(*client, b"hello") for client in clients))
        await until(begun.rests)

        def serve() -> None:
            for _ in clients:
                accepted, _ = slow.accept()
                with accepted:
                    assert accepted.recv(10) == b"hello"
                    accepted.sendall(b"HELLO")

        await asyncio.to_thread(serve)
        assert await asked == [b"HELLO"] * 20


async def test_a_client_that_goes_before_the_tunnel_stands_leaves_nothing(bridge: Begin, folder: Path) -> None:
    port = free_port()
    never = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()
        writer.close()

    async with await asyncio.start_unix_server(silent, folder / "out.sock"):
        begun = await bridge("--out", f"127.0.0.1:{port}:{folder}/out.sock:db.example.com:5432")
        _, writer = await connected(port)
        await until(lambda: begun.descriptors() == 8)  # 0 to 2, its own three, and one pair
        reset(writer.get_extra_info("socket").dup())
        writer.transport.abort()
        await until(lambda: begun.descriptors() == 6)
        never.set()
