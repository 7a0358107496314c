"""Forwards one plain HTTP request and its response.

Both sides are framed anew (h11), so that neither the server nor a proxy behind us can see two requests where we checked
one (request smuggling).
"""

import asyncio

import h11

from domain.destinations import Verdict
from drivers.egress.asking import MAX_HEAD, Forward, Unanswerable
from drivers.egress.streams import CHUNK, IDLE_S, Pass, Passed, Stream

# Hop-by-hop headers (RFC 9110, 7.6.1), and those between a client and its proxy.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate"}
    | {b"te", b"trailer", b"upgrade", b"http2-settings"}
)
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
Headers = list[tuple[bytes, bytes]]


class Forwarding:
    """Raises `Unanswerable` before anything was answered; `OSError`, `EOFError` when a side disconnects."""

    def __init__(self, asked: Forward, inside: Stream, passed: Passed, may_pass: Pass) -> None:
        self._asked = asked
        self._reader, self._writer = inside
        self._passed = passed
        self._may_pass = may_pass
        self._client = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._server = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._request = self._read_head()
        self.answered = False

    def _read_head(self) -> h11.Request:
        """Raises `Unanswerable` for a malformed request, or one that could be read as two."""
        try:
            self._client.receive_data(self._asked.head)
            event = self._client.next_event()
        except h11.RemoteProtocolError as error:
            raise Unanswerable(Verdict.BAD_REQUEST, str(error)[:200], error.error_status_hint) from None
        if not isinstance(event, h11.Request):
            raise Unanswerable(Verdict.BAD_REQUEST, "not a request")
        if len({name for name, _ in event.headers} & _FRAMING) > 1:
            raise Unanswerable(Verdict.BAD_REQUEST, "a request has one length: Content-Length or Transfer-Encoding")
        return event

    async def run(self, outside: Stream) -> None:
        """Send the request while its response comes in."""
        request = h11.Request(
            method=self._request.method,
            target=self._asked.path.encode(),
            headers=[
                (b"Host", self._asked.authority.encode()),
                *(pair for pair in _passed_on(self._request) if pair[0].lower() != b"host"),
                (b"Connection", b"close"),
            ],
        )
        await self._send_out(outside, request)
        body = asyncio.ensure_future(self._pass_body(outside))
        try:
            async with asyncio.timeout(IDLE_S):
                await self._pass_answer(outside)
        except h11.RemoteProtocolError:
            if not self.answered:
                raise Unanswerable(Verdict.UNREACHABLE, "the answer is not HTTP") from None
        finally:
            body.cancel()
            await asyncio.gather(body, return_exceptions=True)

    async def _pass_body(self, outside: Stream) -> None:
        while True:
            event = self._client.next_event()
            if event is h11.NEED_DATA:
                self._client.receive_data(await self._reader.read(CHUNK))
            elif isinstance(event, h11.Data):
                await self._send_out(outside, h11.Data(data=event.data))
            else:  # the end, or a client that disconnected
                await self._send_out(outside, h11.EndOfMessage())
                return

    async def _pass_answer(self, outside: Stream) -> None:
        while True:
            event = self._server.next_event()
            if event is h11.NEED_DATA:
                self._server.receive_data(await outside[0].read(CHUNK))
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code != 101:  # noqa: PLR2004 - nobody asked to switch protocols
                    await self._send_in(_same(event, h11.InformationalResponse, close=False))
            elif isinstance(event, h11.Response):
                self.answered = True
                await self._send_in(_same(event, h11.Response, close=True))
            elif isinstance(event, h11.Data):
                await self._send_in(h11.Data(data=event.data))
            elif isinstance(event, h11.EndOfMessage):
                await self._send_in(h11.EndOfMessage())
                return
            else:
                raise ConnectionResetError

    async def _send_out(self, outside: Stream, event: h11.Event) -> None:
        data = self._server.send(event) or b""
        await self._may_pass(len(data))
        outside[1].write(data)
        self._passed.sent += len(data)
        await outside[1].drain()

    async def _send_in(self, event: h11.Event) -> None:
        data = self._client.send(event) or b""
        await self._may_pass(len(data))
        self._writer.write(data)
        self._passed.received += len(data)
        await self._writer.drain()


def _same(event: h11.Response | h11.InformationalResponse, kind: type, *, close: bool) -> h11.Event:
    headers: Headers = [*_passed_on(event), *([(b"Connection", b"close")] if close else [])]
    made: h11.Event = kind(status_code=event.status_code, headers=headers, reason=event.reason)
    return made


def _passed_on(event: h11.Request | h11.Response | h11.InformationalResponse) -> Headers:
    """The headers without hop-by-hop ones, including those that `Connection` names."""
    headers = event.headers
    named = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    left_out = _HOP_BY_HOP | (named - _FRAMING)
    if any(name == b"transfer-encoding" for name, _ in headers):
        left_out |= {b"content-length"}
    return [pair for pair in headers.raw_items() if pair[0].lower() not in left_out]
