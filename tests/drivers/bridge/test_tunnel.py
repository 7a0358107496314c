"""`--connect`: a tunnel through a proxy for one program, as ssh's ProxyCommand starts it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from drivers.bridge.program import program
from tests.drivers.bridge.bed import DEADLINE_S, free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
YES = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy:
    """Answers CONNECT as told; then what comes goes back in capitals, after its end."""

    def __init__(self, answer: bytes = YES) -> None:
        self.answer = answer
        self.asked = b""
        self.heard = b""
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            self.asked = await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
            if b" 200 " in self.answer:
                self.heard = await reader.read()
                writer.write(self.heard.upper())
                await writer.drain()


@asynccontextmanager
async def serving(proxy: Serve) -> AsyncIterator[int]:
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def run(*words: str, said: bytes = b"") -> tuple[int, bytes, str]:
    """Exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *(str(program()), "--connect", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, errors = await process.communicate(said)
    assert process.returncode is not None
    return process.returncode, out, errors.decode()


@pytest.mark.parametrize(
    ("host", "asked"), [("git.example", "git.example:22"), ("2001:db8::1", "[2001:db8::1]:22"), ("[::1]", "[::1]:22")]
)
async def test_what_is_written_goes_there_and_what_comes_is_read(host: str, asked: str) -> None:
    proxy = Proxy()
    async with serving(proxy) as port:
        found = await run(f"127.0.0.1:{port}", host, "22", said=b"hello")
    assert found == (0, b"HELLO", "")
    assert proxy.asked == f"CONNECT {asked} HTTP/1.1\r\nHost: {asked}\r\n\r\n".encode()


async def test_much_goes_both_ways_and_what_comes_with_the_answer_is_no_part_of_it() -> None:
    proxy = Proxy(YES + b"SSH-2.0-first\r\n")
    much = b"x" * 8_000_000
    async with serving(proxy) as port:
        code, out, errors = await run(f"127.0.0.1:{port}", "git.example", "22", said=much)
    assert (code, errors) == (0, "")
    assert out == b"SSH-2.0-first\r\n" + much.upper()


async def test_who_says_goodbye_to_a_side_that_has_gone_does_not_break_on_it() -> None:
    """ssh ends with 255 if the pipe to its ProxyCommand breaks, and git calls that a failure."""

    async def brief(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(YES + b"goodbye")
        writer.close()

    async with serving(brief) as port:
        process = await asyncio.create_subprocess_exec(
            *(str(program()), "--connect", f"127.0.0.1:{port}", "git.example", "22"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            assert await process.stdout.read() == b"goodbye"
            for _ in range(3):  # the first one is answered by a reset
                process.stdin.write(b"goodbye")
                await process.stdin.drain()
            process.stdin.close()
            assert await process.wait() == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 git.example:22 is not allowed: why\r\n\r\n", "HTTP/1.1 403 git.example:22 is not allowed: why"),
        (b"", "no answer"),
        (b"nonsense", "nonsense"),
        (b"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK"),
        (b"HTTP/1.1 200 OK\r\n" + b"y" * 100_000, "HTTP/1.1 200 OK"),
        (b"SSH-2.0-x\r\n\r\n", "SSH-2.0-x"),
    ],
    ids=["refused", "closed", "nonsense", "half", "endless", "no proxy"],
)
async def test_a_tunnel_that_was_not_made_is_reported_in_the_proxys_words(answer: bytes, words: str) -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

    async with serving(refusing) as port:
        code, out, errors = await run(f"127.0.0.1:{port}", "git.example", "22")
    assert (code, out) == (125, b"")
    assert errors == f"[bridge] git.example:22: {words}\n"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ((), "ADDRESS:PORT HOST PORT is wanted"),
        (("127.0.0.1:1", "x"), "ADDRESS:PORT HOST PORT is wanted"),
        (("127.0.0.1", "x", "22"), "of a proxy is wanted"),
        (("localhost:1", "x", "22"), "of a proxy is wanted"),
        (("127.0.0.1:1", "x", "0"), "is not a port"),
        (("127.0.0.1:1", "x", "ssh"), "is not a port"),
        (("127.0.0.1:1", "a b", "22"), "is no host"),
        (("127.0.0.1:1", "a\r\nX: y", "22"), "is no host"),
        (("127.0.0.1:1", "", "22"), "is no host"),
    ],
)
async def test_a_wrong_argument_is_reported(words: tuple[str, ...], fault: str) -> None:
    code, out, errors = await run(*words)
    assert (code, out) == (125, b"")
    assert fault in errors


async def test_a_proxy_that_is_not_there_is_reported() -> None:
    code, _, errors = await run(f"127.0.0.1:{free_port()}", "git.example", "22")
    assert (code, "Connection refused" in errors) == (125, True)
