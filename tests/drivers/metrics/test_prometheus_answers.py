"""Answers that a healthy Prometheus does not give: each of them says that nothing was measured."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from domain.canary.policy import AnalysisPolicy
from domain.errors import DependencyError, TerminalError
from drivers.metrics.prometheus import MAX_ANSWER, PrometheusMetrics
from drivers.metrics.promql import FIGURE, SIDE
from tests.drivers.metrics.conformance import PLACE
from tests.support.exposition import QUERIES
from tests.support.services import free_port

POLICY = AnalysisPolicy.model_validate({"provider": "prometheus", "prometheus": QUERIES})
Serve = Callable[..., Awaitable[PrometheusMetrics]]


def series(value: object = "1", figure: str = "requests", side: str = "0") -> dict[str, object]:
    return {"metric": {FIGURE: figure, SIDE: side}, "value": [1, value]}


def success(*result: object, **more: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **more})


class Stub:
    """A server that gives one answer, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:"))
        body = await reader.readexactly(length)
        self.asked.append(head + body.decode())
        if self.answer:
            writer.write(self.answer)
        else:
            await reader.read()  # says nothing until the other side gives up
        writer.close()


@pytest.fixture
async def stub() -> AsyncIterator[tuple[Stub, PrometheusMetrics]]:
    made = Stub()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base"
    provider = PrometheusMetrics(url, "s3cret", trusted=True, limit_s=120)
    yield made, provider
    await provider.close()
    server.close()
    await server.wait_closed()


def raw(status: int, body: str, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status} X", f"content-length: {len(body.encode())}", "connection: close", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


ERROR = json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"})


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, "<html>oops</html>", r"what answered \(500\) does not speak as Prometheus does"),
        (200, "<html>sign in</html>", r"what answered \(200\) does not speak as Prometheus does"),
        (200, "[" * 100_000, "does not speak as Prometheus does"),
        (200, "", "does not speak as Prometheus does"),
        (503, ERROR, r"could not answer \(503\): the query takes too long"),
        (422, ERROR, r"could not answer \(422\)"),
        (500, success(series()), r"could not answer \(500\)"),
        (401, "no", "DELIVERY_PROMETHEUS_TOKEN"),
        (403, "no", "DELIVERY_PROMETHEUS_TOKEN"),
        (200, success(series(), warnings=["store gateway 7 did not answer"]), "answered with a warning"),
        (200, success(series(), isPartial=True), "warning: the result is partial"),
        (200, json.dumps({"status": "success"}), "without a vector"),
        (200, json.dumps({"status": "success", "data": {"resultType": "scalar", "result": []}}), "without a vector"),
        (200, success(series("NaN")), "requests gave nan"),
        (200, success(series("+Inf")), "requests gave inf"),
        (200, success(series("many")), "requests gave 'many', which is no number"),
        (200, success(series(7)), "does not speak as Prometheus does"),
        (200, success({"metric": {FIGURE: "requests", SIDE: "0"}, "histogram": [1, {}]}), "native histogram"),
        (200, success({"metric": {}, "value": [1, "1"]}), "not asked for"),
        (200, success(series(side="9")), "not asked for"),
        (200, success(series(figure="other")), "not asked for"),
        (200, success(*[series()] * 20_000), "more than 1 MiB"),
    ],
)
async def test_it_was_not_measured(stub: tuple[Stub, PrometheusMetrics], status: int, body: str, words: str) -> None:
    server, provider = stub
    server.answer = raw(status, body)
    with pytest.raises(DependencyError, match=words) as caught:
        await provider.read(["canary"], POLICY, PLACE)
    assert len(caught.value.message) <= 400
    assert "s3cret" not in caught.value.message


async def test_infos_are_no_warnings_and_an_empty_answer_is_zeros(stub: tuple[Stub, PrometheusMetrics]) -> None:
    server, provider = stub
    server.answer = raw(200, success(infos=["metric might not be a counter"]))
    sides = await provider.read(["canary", "stable"], POLICY, PLACE)
    assert [(side.requests, side.errors, side.latencies) for side in sides.values()] == [(0, 0, 0)] * 2


async def test_it_is_asked_once_for_both_sides_with_the_token(stub: tuple[Stub, PrometheusMetrics]) -> None:
    server, provider = stub
    server.answer = raw(200, success())
    await provider.read(["canary", "stable"], POLICY, PLACE)
    (asked,) = server.asked
    assert asked.startswith("POST /base/api/v1/query HTTP/1.1\r\n")
    assert "authorization: bearer s3cret" in asked.lower()


@pytest.mark.parametrize("kind", ["timeout", "execution", "bad_data", "x", ""])
@pytest.mark.parametrize("where", ["error", "warnings", "errorType"])
async def test_the_servers_words_are_for_the_operator_alone(stub, capsys: Any, where: str, kind: str) -> None:
    """They may show other tenants' labels, or addresses, or what was sent to it."""
    words = 'duplicate series {organization="rival"} at 10.0.3.4:10901, sent: Bearer s3cret'
    given: dict[str, Any] = {"status": "error", "errorType": kind, "error": "no", "data": None}
    given[where] = [words] if where == "warnings" else words
    server, provider = stub
    server.answer = raw(503, json.dumps(given))
    with pytest.raises((DependencyError, TerminalError)) as caught:
        await provider.read(["canary"], POLICY, PLACE)
    assert not [part for part in ("rival", "10.0.3.4", "s3cret", "duplicate") if part in caught.value.message]
    logged = "".join(capsys.readouterr())
    assert "rival" in logged
    assert "s3cret" not in logged


async def test_a_redirect_is_not_followed(stub: tuple[Stub, PrometheusMetrics]) -> None:
    server, provider = stub
    server.answer = raw(307, "", "location: /elsewhere")
    with pytest.raises(DependencyError, match="307"):
        await provider.read(["canary"], POLICY, PLACE)
    assert len(server.asked) == 1


async def test_silence_ends_at_the_limit(stub: tuple[Stub, PrometheusMetrics]) -> None:
    _, patient = stub
    provider = PrometheusMetrics(patient._url, trusted=True, limit_s=0.5)
    with pytest.raises(DependencyError, match=r"did not answer within 0\.5 s"):
        await provider.read(["canary"], POLICY, PLACE)
    await provider.close()


async def test_nobody_listens() -> None:
    provider = PrometheusMetrics(f"http://127.0.0.1:{free_port()}", trusted=True)
    with pytest.raises(DependencyError, match="Prometheus cannot be asked: ConnectError"):
        await provider.read(["canary"], POLICY, PLACE)
    await provider.close()


def test_the_test_of_the_limit_is_above_it() -> None:
    assert len(success(*[series()] * 20_000)) > MAX_ANSWER
