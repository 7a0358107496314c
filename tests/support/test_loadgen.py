import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.load_connection import parse_answer
from tests.support.load_summary import Record, summarize
from tests.support.loadgen import LoadPlan, run_load
from tests.support.services import free_port

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-delivery-release: r1\r\n\r\nok"


@asynccontextmanager
async def answering(answer: bytes, wait: Callable[[], Awaitable[object]] | None = None) -> AsyncIterator[str]:
    """A server that gives the same bytes to every request, once it has waited."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if wait:
                    await wait()
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def test_every_request_is_sent_and_counted_by_release() -> None:
    async with answering(OK) as url:
        summary = await run_load(LoadPlan(url, "service.localhost", rps=200, seconds=0.5))
    assert (summary.requests, summary.failures) == (100, 0)
    assert summary.releases == {"r1": 100}
    assert summary.p50_ms <= summary.p95_ms <= summary.p99_ms <= summary.max_ms


async def test_slow_answers_do_not_slow_the_schedule_down() -> None:
    """Nobody is answered before everybody has asked: one after another would never come to an end."""
    asked, all_asked = itertools.count(1), asyncio.Event()

    async def wait() -> None:
        if next(asked) == 50:
            all_asked.set()
        await all_asked.wait()

    async with answering(OK, wait) as url:
        summary = await run_load(LoadPlan(url, "x", rps=100, seconds=0.5))
    assert (summary.requests, summary.failures) == (50, 0)
    assert summary.p50_ms >= 240  # from when it was due


async def test_errors_count_as_failures() -> None:
    async with answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n") as url:
        summary = await run_load(LoadPlan(url, "x", rps=50, seconds=0.2))
    assert summary.failures == summary.requests == 10
    assert summary.statuses == {"503": 10}


async def test_nobody_listening_is_a_failure_with_a_reason() -> None:
    summary = await run_load(LoadPlan(f"http://127.0.0.1:{free_port()}/", "x", rps=20, seconds=0.2))
    assert summary.failures == 4
    assert "cannot connect" in str(summary.examples[0]["error"])


async def test_an_answer_that_never_comes_fails_at_the_timeout() -> None:
    over = asyncio.Event()
    async with answering(OK, over.wait) as url:
        summary = await run_load(LoadPlan(url, "x", rps=20, seconds=0.2, timeout=0.3))
    over.set()
    assert summary.failures == summary.requests == 4
    assert "no answer" in str(summary.examples[0]["error"])


def test_other_machines_are_refused() -> None:
    with pytest.raises(ValueError, match="this machine only"):
        LoadPlan("http://192.0.2.1/", "x", rps=1, seconds=1)


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-le", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", False),
    ],
)
def test_the_end_of_an_answer_is_recognised(data: bytes, complete: bool) -> None:
    assert (parse_answer(data, ended=False) is not None) is complete


def test_percentiles_are_of_answered_requests_only() -> None:
    records = [Record(n / 100, float(n), 200) for n in range(1, 101)] + [Record(1, 9999, None, error="closed")]
    summary = summarize(records, 1)
    assert (summary.p50_ms, summary.p95_ms, summary.p99_ms, summary.max_ms) == (51, 96, 100, 100)
    assert summary.failures == 1
