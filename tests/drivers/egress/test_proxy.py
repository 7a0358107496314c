"""The way out of other people's code: what gets through, and everything that must not."""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path

import pytest
import structlog.testing

from domain.destinations import Destination
from domain.errors import DependencyError
from drivers.egress import asking, own_addresses, streams
from drivers.egress.sandboxes import SOCKET
from runtime.outbound import UnreachableError
from tests.drivers.egress.way import LIMIT_S, Listener, Way, ask, connect, tunnel
from tests.support.waiting import until

PUBLIC = "93.184.215.14"


async def test_a_tunnel_passes_both_ways_and_ends_with_either_side(way: Way, listener: Listener, here: str) -> None:
    await way.start(everybody=here)
    way.names["name.example"] = [["127.0.0.1"]]
    door = await way.door()
    with structlog.testing.capture_logs() as lines:
        reader, writer = await connect(door)
        async with asyncio.timeout(LIMIT_S):
            writer.write(f"CONNECT Name.Example.:{listener.port} HTTP/1.1\r\nHost: x\r\n\r\nearly".encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
            assert await reader.readexactly(5) == b"hello"
            writer.write(b" late")
            writer.write_eof()
            assert await reader.read() == b""
        writer.close()
        await until(lambda: len(lines) > 0)
    assert listener.heard == [b"early late"]
    (line,) = (line for line in lines if line["event"] == "egress.connection")
    assert line | {"seconds": 0} == {
        "event": "egress.connection",
        "log_level": "info",
        "organization": "acme",
        "project": "shop",
        "sandbox": "one",
        "host": "name.example",
        "port": listener.port,
        "address": "127.0.0.1",
        "verdict": "allowed",
        "sent": 10,
        "received": 5,
        "seconds": 0,
    }


async def test_everything_that_is_not_public_is_refused_and_says_why(way: Way, listener: Listener) -> None:
    await way.start()
    way.names |= {"inner.example": [["10.0.0.1"]], "here.example": [["127.0.0.1"]], "mixed.example": [[PUBLIC, "::1"]]}
    way.names |= {"localhost": [["127.0.0.1"]], "metadata.example": [["169.254.169.254"]]}
    door = await way.door()
    port = listener.port
    for host in (
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ):
        assert (await tunnel(door, f"{host}:{port}")).startswith(b"HTTP/1.1 403 "), host
    for host in (*way.names, "10.0.0.1", "169.254.169.254", "[fe80::1]", "[64:ff9b::7f00:1]", "0", "[::]"):
        said = await tunnel(door, f"{host}:{port}")
        assert said.startswith(b"HTTP/1.1 403 "), host
        assert b"not on the public internet" in said.partition(b"\r\n")[0]
    assert (await tunnel(door, "nowhere.example:443")).startswith(b"HTTP/1.1 502 there is no host nowhere.example")
    assert (await tunnel(door, f"{PUBLIC}:25")).startswith(b"HTTP/1.1 403 ")
    assert listener.visits == 0


async def test_a_name_server_that_is_away_does_not_mean_that_there_is_no_such_host(way: Way) -> None:
    await way.start()
    door = await way.door()
    way.is_name_server_away = True
    said = await tunnel(door, "real.example:443")
    assert said.startswith(b"HTTP/1.1 504 the name real.example cannot be looked up now")


async def test_this_machines_own_addresses_are_loopback_too(way: Way) -> None:
    own = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)}
    assert all(own_addresses.is_own(address) for address in own_addresses.own_of([*own, "127.0.0.1"]))
    assert own_addresses.own_of([PUBLIC, "127.0.0.1"]) == own_addresses.own_of(["127.0.0.1"]) != frozenset()
    await way.start()


async def test_the_address_that_was_judged_is_the_one_dialled(way: Way, listener: Listener, monkeypatch) -> None:
    """Rebinding: the name means something else whenever it is asked for again."""
    dialled: list[str] = []

    async def dial(addresses, port):
        dialled.extend(addresses)
        raise UnreachableError

    monkeypatch.setattr("drivers.egress.proxy.dial", dial)
    await way.start()
    door = await way.door()
    for _ in range(3):
        way.names["name.example"] = [[PUBLIC], ["127.0.0.1"]]
        assert (await tunnel(door, f"name.example:{listener.port}")).startswith(b"HTTP/1.1 502 ")
    assert dialled == [PUBLIC] * 3
    assert way.asked == ["name.example"] * 3, "once for each connection"
    assert (await tunnel(door, f"name.example:{listener.port}")).startswith(b"HTTP/1.1 403 ")
    assert listener.visits == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET https://name.example/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET ftp://name.example/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://user:pass@name.example/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://name.example\\@127.0.0.1/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://name.example#@127.0.0.1/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://name]example/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://name.example:0/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://name.example:99999/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://name.example/ HTTP/2.0\r\nHost: name.example\r\n\r\n",
        b"GET  http://name.example/ HTTP/1.1\r\nHost: name.example\r\n\r\n",
        b"GET http://name.example/ HTTP/1.1\r\n\r\n",
        b"GET http://name.example/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://name.example/ HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET http://name.example/ HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        b"GET http://name.example/ HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET http://name.example/ HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT user@127.0.0.1:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT name.example HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT http://name.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT name.example:443/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT name.example:443\r\n\r\n",
        b"CONNECT name.example:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"CONNECT name.example:443 HTTP/1.1\r\nno header\r\n\r\n",
        b"CONNECT [fe80::1%25eth0]:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT [::1%lo]:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT [::1].:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT ::1:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT [127.0.0.1]:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT name.example:+443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT name.example:0443443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT name.example:443:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT 127%2e0%2e0%2e1:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT \uff11\uff12\uff17.0.0.1:443 HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
        "CONNECT 127\u30020\u30020\u30021:443 HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
        b"CONNECT name.example:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nCONNECT name.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
        b"POST http://name.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_odd_forms_are_refused_before_anything_is_looked_up(way: Way, request_: bytes) -> None:
    await way.start(everybody="0.0.0.0/0")
    way.names["name.example"] = [["127.0.0.1"]]
    said = await ask(await way.door(), request_)
    assert said.split(b" ")[1] in (b"400", b"501"), said
    assert way.asked == []


async def test_a_head_without_end_and_one_that_never_comes_are_cut(way: Way, monkeypatch) -> None:
    await way.start()
    door = await way.door()
    endless = b"CONNECT name.example:443 HTTP/1.1\r\nX: " + b"a" * 2 * asking.MAX_HEAD
    assert (await ask(door, endless, end=False)).startswith(b"HTTP/1.1 431 ")
    monkeypatch.setattr("drivers.egress.proxy.HEAD_TIMEOUT_S", 0.5)
    for slow in (b"", b"C", b"CONNECT name.example:443 HTTP/1.1\r\nHost: a\r\n"):
        said = await ask(door, slow, end=False)
        assert said.startswith(b"HTTP/1.1 408 "), slow
    for slow in (b"\x05", b"\x05\x01\x00", b"\x05\x01\x00\x05\x01\x00\x03\xff"):
        said = await ask(door, slow, end=False)
        assert said in (b"\x05\x06\x00\x01" + bytes(6), b"\x05\x00\x05\x06\x00\x01" + bytes(6)), slow


async def test_a_side_that_goes_without_a_word_ends_the_other(way: Way, here: str, listener: Listener) -> None:
    await way.start(everybody=here)
    door = await way.door()
    reader, writer = await connect(door)
    writer.write(f"CONNECT 127.0.0.1:{listener.port} HTTP/1.1\r\n\r\nhalf".encode())
    async with asyncio.timeout(LIMIT_S):
        await reader.readuntil(b"hello")
        writer.transport.abort()
        await listener.left.wait()


async def test_a_connection_in_which_nothing_moves_is_ended(
    way: Way, here: str, listener: Listener, monkeypatch
) -> None:
    monkeypatch.setattr(streams, "IDLE_S", 2.0)
    await way.start(everybody=here)
    said = await tunnel(await way.door(), f"127.0.0.1:{listener.port}", end=False)
    assert said.endswith(b"\r\n\r\nhello")


def socks(host: bytes, port: int, kind: int = 3, command: int = 1) -> bytes:
    name = bytes([len(host)]) + host if kind == 3 else host
    return b"\x05\x01\x00" + bytes([5, command, 0, kind]) + name + struct.pack("!H", port)


async def test_socks_gets_through_by_name_and_by_number(way: Way, here: str, listener: Listener) -> None:
    await way.start(everybody=here)
    way.names["name.example"] = [["127.0.0.1"]]
    door = await way.door()
    loopback = b"\x7f\x00\x00\x01"
    for asked in (
        socks(b"name.example", listener.port),
        socks(b"127.1", listener.port),
        socks(loopback, listener.port, kind=1),
        socks(bytes(10) + b"\xff\xff" + loopback, listener.port, kind=4),
    ):
        assert await ask(door, asked) == b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6) + b"hello"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (socks(b"127.0.0.1", 80), 2),
        (socks(b"localhost", 80), 2),
        (socks(b"2130706433", 80), 2),
        (socks(b"\x7f\x00\x00\x01", 80, kind=1), 2),
        (socks(b"\xa9\xfe\xa9\xfe", 80, kind=1), 2),
        (socks(bytes(15) + b"\x01", 80, kind=4), 2),
        (socks(bytes(10) + b"\xff\xff\x0a\x00\x00\x01", 80, kind=4), 2),
        (socks(bytes.fromhex("0064ff9b0000000000000000") + b"\x7f\x00\x00\x01", 80, kind=4), 2),
        (socks(b"nowhere.example", 80), 4),
        (socks(b"name.example\x00.evil", 80), 1),
        (socks(b"user@name.example", 80), 1),
        (socks(b"", 80), 1),
        (socks(b"name.example", 0), 1),
        (socks(b"name.example", 80, command=2), 1),
        (socks(b"name.example", 80, command=3), 1),
        (socks(b"name.example", 80, kind=2), 1),
        (b"\x05\x01\x00\x04\x01\x00\x03\x01a\x00\x50", 1),
    ],
)
async def test_socks_is_judged_alike(way: Way, asked: bytes, code: int) -> None:
    await way.start()
    way.names["localhost"] = [["127.0.0.1"]]
    assert await ask(await way.door(), asked) == b"\x05\x00" + bytes([5, code, 0, 1]) + bytes(6)


async def test_socks_with_a_password_alone_is_refused(way: Way) -> None:
    await way.start()
    assert (await ask(await way.door(), b"\x05\x01\x02")).startswith(b"\x05\xff")


@pytest.mark.parametrize(
    "asked",
    [
        b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
        b"\x04\x01\x00\x50\x5d\xb8\xd7\x0e\x00",
        b"\x04\x02\x00\x50\x7f\x00\x00\x01user\x00",
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00name.example\x00",
    ],
)
async def test_the_older_socks_is_refused_in_its_own_words(way: Way, asked: bytes) -> None:
    """At once, and with nothing looked up: it used to be waited for as if it were the head of a request."""
    await way.start(everybody="0.0.0.0/0")
    way.names["name.example"] = [["127.0.0.1"]]
    assert await ask(await way.door(), asked, end=False) == b"\x00\x5b" + bytes(6)
    assert way.asked == []


@pytest.mark.parametrize("first", [b"\x16", b"\x00", b"\r", b" ", b"\x80", b"\x0d\x0a\x0d\x0a\x00\x0d\x0aQUIT\x0a"])
async def test_what_is_no_request_at_all_is_refused_at_its_first_byte(way: Way, first: bytes) -> None:
    await way.start()
    assert (await ask(await way.door(), first, end=False)).startswith(b"HTTP/1.1 400 ")


class HttpServer:
    """Keeps whole requests; answers what it is told to."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\r\nok"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = b""
            if b"chunked" in head:
                while not body.endswith(b"0\r\n\r\n"):
                    body += await reader.read(1024)
            elif length := head.lower().partition(b"content-length: ")[2]:
                body = await reader.readexactly(int(length.split(b"\r\n")[0]))
            self.seen.append(head + body)
            writer.write(self.answer)
            await writer.drain()


@pytest.fixture
async def web():
    made = HttpServer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def test_a_request_in_the_clear_goes_to_its_urls_host_whatever_host_says(way: Way, web: HttpServer) -> None:
    await way.start(everybody=f"127.0.0.0/8:{web.port}")
    way.names["name.example"] = [["127.0.0.1"]]
    request = (
        f"GET http://name.example:{web.port}/a?b=c HTTP/1.1\r\nHost: 169.254.169.254\r\n"
        "Proxy-Authorization: Basic x\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nUpgrade: h2c\r\n"
        "Accept: */*\r\n\r\n"
    )
    with structlog.testing.capture_logs() as lines:
        said = await ask(await way.door(), request.encode())
    assert web.seen == [
        f"GET /a?b=c HTTP/1.1\r\nHost: name.example:{web.port}\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    ]
    assert said == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    assert "b=c" not in repr(lines)


async def test_bodies_pass_with_a_length_chunked_and_after_a_question(way: Way, web: HttpServer) -> None:
    await way.start(everybody=f"127.0.0.0/8:{web.port}")
    door = await way.door()
    url = f"http://127.0.0.1:{web.port}/"
    bodies = (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    for body in (*bodies, b"Expect: 100-continue\r\n" + bodies[0]):
        said = await ask(door, f"POST {url} HTTP/1.1\r\nHost: x\r\n".encode() + body, end=False)
        assert said.endswith(b"\r\n\r\nok")
        assert b"abc" in web.seen.pop()


async def test_what_follows_a_request_is_not_passed_on(way: Way, web: HttpServer) -> None:
    """One request is judged, one goes out."""
    await way.start(everybody=f"127.0.0.0/8:{web.port}")
    url = f"http://127.0.0.1:{web.port}"
    second = f"GET {url}/second HTTP/1.1\r\nHost: x\r\n\r\n"
    for first in (
        f"GET {url}/first HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST {url}/first HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        f"POST {url}/first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        said = await ask(await way.door(), (first + second).encode())
        assert said.count(b"HTTP/1.1") == 1
    assert len(web.seen) == 3
    assert not any(b"second" in seen for seen in web.seen)


async def test_a_redirect_is_the_clients_next_request_and_judged_again(way: Way, web: HttpServer) -> None:
    await way.start(everybody=f"127.0.0.1:{web.port}")
    web.answer = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    door = await way.door()
    said = await ask(door, f"GET http://127.0.0.1:{web.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b"Location: http://169.254.169.254/" in said
    again = await ask(door, b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
    assert again.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 101 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2 * asking.MAX_HEAD,
    ],
)
async def test_an_answer_that_is_none_is_a_bad_gateway(way: Way, web: HttpServer, answer: bytes) -> None:
    await way.start(everybody=f"127.0.0.1:{web.port}")
    web.answer = answer
    said = await ask(await way.door(), f"GET http://127.0.0.1:{web.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 502 "), said


async def test_what_a_service_lists_is_reached_by_it_alone(way: Way, listener: Listener, here: str) -> None:
    await way.start(listed=here)
    to = Destination("127.0.0.1", listener.port)
    lists, other = await way.door("lists", listed=(to,)), await way.door("other")
    assert (await tunnel(lists, str(to))).endswith(b"hello")
    assert (await tunnel(other, str(to))).startswith(b"HTTP/1.1 403 ")
    assert listener.visits == 1


async def test_the_engine_asks_before_it_deploys_without_connecting(way: Way, listener: Listener, here: str) -> None:
    await way.start(listed=here)
    way.names["here.example"], way.names["inner.example"] = [["127.0.0.1"]], [["10.0.0.1"]]
    here_, inner = Destination("127.0.0.1", listener.port), Destination("inner.example", 5432)
    nowhere = Destination("nowhere.example", 5432)
    await way.door("one", listed=(here_, inner, nowhere))
    assert await way.sandboxes.refusal("one", here_) is None
    assert await way.sandboxes.refusal("one", nowhere) is None, "it may come to be"
    said = await way.sandboxes.refusal("one", inner)
    assert said.startswith("inner.example:5432 is not allowed: the operator allows no service.egress to it")
    assert listener.visits == 0
    await way.stop()
    assert await way.sandboxes.refusal("one", inner) is None


async def test_an_organization_has_so_many_connections_and_others_have_theirs(
    way: Way, listener: Listener, here: str
) -> None:
    await way.start(everybody=here, connections=2)
    first, second, other = await way.door("a1", "acme"), await way.door("a2", "acme"), await way.door("b", "other")
    held = [await connect(first), await connect(second)]
    async with asyncio.timeout(LIMIT_S):
        for reader, writer in held:
            writer.write(f"CONNECT 127.0.0.1:{listener.port} HTTP/1.1\r\n\r\n".encode())
            await reader.readuntil(b"hello")
    assert (await tunnel(first, f"127.0.0.1:{listener.port}")).startswith(b"HTTP/1.1 503 ")
    assert (await tunnel(other, f"127.0.0.1:{listener.port}")).endswith(b"hello")
    for _, writer in held:
        writer.close()
    await until(lambda: way.shares.of("acme").open == 0)
    assert (await tunnel(first, f"127.0.0.1:{listener.port}")).endswith(b"hello")


async def test_names_that_are_never_answered_take_a_part_of_the_lookups_only(way: Way, monkeypatch) -> None:
    monkeypatch.setattr("drivers.egress.proxy.LOOKUP_TIMEOUT_S", 3)
    monkeypatch.setattr("drivers.egress.lookups.OF_ONE", 2)
    asked: list[str] = []
    both, answered = asyncio.Event(), asyncio.Event()

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        if len(asked) == 2:
            both.set()
        if host.startswith("slow"):
            await answered.wait()
        return ["10.0.0.1"]

    way.resolve = resolve
    await way.start()
    door, other = await way.door("a", "acme"), await way.door("b", "other")
    slow = [asyncio.create_task(tunnel(door, f"slow{number}.example:443")) for number in range(4)]
    async with asyncio.timeout(LIMIT_S):
        await both.wait()
        assert (await tunnel(other, "quick.example:443")).startswith(b"HTTP/1.1 403 ")
        assert {said.split(b" ")[1] for said in await asyncio.gather(*slow)} == {b"504"}
    assert sum(host.startswith("slow") for host in asked) == 2, "who gave up holds its thread all the same"
    assert (await tunnel(door, "slow5.example:443")).split(b" ")[1] == b"504"
    assert sum(host.startswith("slow") for host in asked) == 2
    answered.set()
    assert (await tunnel(door, "slow6.example:443")).split(b" ")[1] == b"403"


async def test_bytes_are_slowed_down_for_an_organization(way: Way, here: str, listener: Listener) -> None:
    listener.answer = b"x" * 300_000
    await way.start(everybody=here, bytes_per_s=100_000)
    began = asyncio.get_running_loop().time()
    said = await tunnel(await way.door(), f"127.0.0.1:{listener.port}")
    assert said.endswith(listener.answer)
    assert asyncio.get_running_loop().time() - began > 1.5, "a second's worth at once, then 100 kB a second"


async def test_a_proxy_that_was_killed_opens_the_same_sockets_again(way: Way, here: str, listener: Listener) -> None:
    await way.start(everybody=here)
    door = await way.door()
    inode = door.stat().st_ino
    to = f"127.0.0.1:{listener.port}"
    assert (await tunnel(door, to)).endswith(b"hello")
    await way.stop()
    with pytest.raises(ConnectionRefusedError):
        await connect(door)
    await way.start(everybody=here)
    assert (await tunnel(door, to)).endswith(b"hello")
    assert await way.door() == door
    assert door.stat().st_ino == inode, "the folder that a sandbox has mounted"


async def test_a_sandbox_that_is_closed_or_whose_owner_is_gone_has_no_way_out(
    way: Way, here: str, listener: Listener, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("drivers.egress.doors.SWEEP_EVERY_S", 0.1)
    await way.start(everybody=here)
    door = await way.door("closed")
    reader, writer = await connect(door)
    writer.write(f"CONNECT 127.0.0.1:{listener.port} HTTP/1.1\r\n\r\n".encode())
    async with asyncio.timeout(LIMIT_S):
        await reader.readuntil(b"hello")
        await way.sandboxes.close("closed")
        assert await reader.read() == b"", "whoever is still in it is cut off"
    writer.close()
    way.owner = tmp_path / "owner"
    way.owner.mkdir()
    left = await way.door("left")
    way.owner.rmdir()
    await until(lambda: not left.exists())


async def test_one_that_was_closed_and_opened_again_has_a_socket_again(way: Way, here: str, listener: Listener) -> None:
    """A file system may give the new folder the number of the old one."""
    await way.start(everybody=here)
    for _ in range(20):
        door = await way.door()
        assert (await tunnel(door, f"127.0.0.1:{listener.port}")).endswith(b"hello")
        await way.sandboxes.close("one")
    door = await way.door()
    (door / SOCKET).unlink()
    async with asyncio.timeout(LIMIT_S):
        assert await way.door() == door
    assert (await tunnel(door, f"127.0.0.1:{listener.port}")).endswith(b"hello")


async def test_a_file_that_says_nothing_opens_nothing(way: Way, here: str, listener: Listener) -> None:
    await way.start(everybody=here)
    for name, content in (("empty", ""), ("odd", "[1]"), ("wrong", '{"organization": 1}')):
        (way.sandboxes.root / name / "door").mkdir(parents=True)
        (way.sandboxes.root / name / "sandbox.json").write_text(content)
    door = await way.door()
    assert (await tunnel(door, f"127.0.0.1:{listener.port}")).endswith(b"hello")
    assert not (way.sandboxes.door("wrong") / SOCKET).exists()


async def test_two_proxies_never_share_a_folder(way: Way, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("drivers.egress.doors.LOCK_WAIT_S", 0.2)
    await way.start()
    second = Way(way.sandboxes.root, tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await second.start()
    with pytest.raises(DependencyError, match="another process"):
        await second._running
