"""Requests to strangers: only checked addresses are connected to, and nothing a stranger answers can harm."""

import asyncio
import gzip
import socket
import ssl
import threading
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.oid import NameOID

from events.egress_guard import RESOLVERS, WebhookEgress
from events.sender import Sender
from runtime.ids import now
from tests.support.receiver import Receiver, Reply
from tests.support.webhooks import LOOPBACK


class Names:
    """A resolver whose answers change with every question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0)


@pytest.fixture
async def senders():
    made = []

    def make(networks=LOOPBACK, names=None, **options) -> Sender:
        made.append(Sender(WebhookEgress(networks, names), **{"limit_s": 60, **options}))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        yield receiver


async def test_a_private_address_is_refused_whatever_its_spelling(senders, receiver):
    sender = senders(networks=())
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"):
        answer = await sender.post(f"http://{host}:{receiver.port}/", {}, b"{}")
        assert (answer.status, "not on the public internet" in answer.error) == (None, True), (host, answer)
    assert receiver.connections == 0


async def test_a_name_with_one_private_address_among_others_is_refused(senders, receiver):
    sender = senders(networks=[ip_network("127.0.0.1/32")], names=Names(["127.0.0.1", "10.0.0.7"]))
    answer = await sender.post(f"http://hooks.test:{receiver.port}/", {}, b"{}")
    assert "not on the public internet" in answer.error
    assert receiver.connections == 0


async def test_the_checked_address_is_the_one_connected_to(senders, receiver):
    """The name leads elsewhere at the next question: nobody asks again for this connection."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    sender = senders(names=names)
    answer = await sender.post(f"http://hooks.test:{receiver.port}/a", {}, b"{}")
    assert (answer.status, names.asked) == (204, ["hooks.test"])
    assert receiver.received[0].headers["host"] == f"hooks.test:{receiver.port}"
    receiver.answer = lambda _: Reply(200, {"Connection": "close"})
    await sender.post(f"http://hooks.test:{receiver.port}/b", {}, b"{}")
    answer = await sender.post(f"http://hooks.test:{receiver.port}/c", {}, b"{}")
    assert "not on the public internet" in answer.error
    assert names.asked == ["hooks.test", "hooks.test"]
    assert len(receiver.received) == 2


async def test_ipv6_is_reached_where_it_is_allowed(senders):
    async with Receiver("::1") as receiver:
        answer = await senders().post(receiver.url(), {}, b"{}")
        assert answer.status == 204
        assert receiver.received[0].headers["host"] == f"[::1]:{receiver.port}"
        assert (await senders(networks=()).post(receiver.url(), {}, b"{}")).status is None


async def test_redirects_are_not_followed(senders, receiver):
    receiver.answer = lambda _: Reply(302, {"Location": receiver.url("/inside")})
    answer = await senders().post(receiver.url("/hook"), {}, b"{}")
    assert (answer.status, len(receiver.received)) == (302, 1)
    assert "redirects are not followed" in answer.error


async def test_proxies_of_the_environment_are_not_used(senders, receiver, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert (await senders().post(receiver.url(), {}, b"{}")).status == 204


async def test_an_answer_that_never_comes_ends_with_the_limit(senders, receiver):
    receiver.answer = lambda _: Reply(hold=asyncio.Event())
    answer = await senders(limit_s=0.2).post(receiver.url(), {}, b"{}")
    assert answer.error == "no complete answer within 0.2 s"
    assert answer.duration_ms >= 150


async def test_only_the_beginning_of_an_answer_is_read_and_nothing_is_unpacked(senders, receiver):
    receiver.answer = lambda _: Reply(200, {}, b"x" * 5_000_000)
    assert (await senders().post(receiver.url(), {}, b"{}")).body == "x" * 4096
    bomb = gzip.compress(b"0" * 10_000_000)
    receiver.answer = lambda _: Reply(200, {"Content-Encoding": "gzip"}, bomb)
    answer = await senders().post(receiver.url(), {}, b"{}")
    assert answer.status == 200
    assert len(answer.body) <= 4096


@pytest.mark.parametrize("part", [b"HTTP/1.1 100 Continue\r\n\r\n", b"1;" + b"x" * 9000 + b"\r\na\r\n"])
async def test_an_answer_that_never_ends_is_not_read_for_long(senders, part):
    async def flood(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"" if part.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(part * (65536 // len(part)))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        answer = await senders().post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
    assert answer.error == "the connection broke: the answer is larger than 128 KiB"


async def test_names_that_nobody_answers_for_leave_threads_for_other_names(senders, receiver, monkeypatch):
    answered = threading.Event()
    look_up = socket.getaddrinfo

    def resolver(host, *rest, **options):
        if host == "never.test":
            answered.wait(240)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return look_up("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    sender = senders()
    stuck = [asyncio.create_task(sender.post("http://never.test/", {}, b"{}")) for _ in range(RESOLVERS)]
    await asyncio.sleep(0)  # they have asked
    answer = await sender.post(f"http://good.test:{receiver.port}/", {}, b"{}")
    assert answer.status == 204
    answered.set()
    # Whether there is such a name is not known.
    assert {(await one).error for one in stuck} == {"the name never.test cannot be looked up now"}


async def test_private_answers_are_left_out_and_text_is_storable(senders, receiver):
    receiver.answer = lambda _: Reply(200, {"Set-Cookie": "id=1", "X-One": "a"}, b"a\x00\xffb")
    answer = await senders().post(receiver.url(), {}, b"{}")
    assert answer.headers["set-cookie"] == "[left out]"
    assert answer.headers["x-one"] == "a"
    assert answer.body == "a\ufffd\ufffdb"


async def test_a_closed_port_and_an_unknown_name_have_errors_that_say_so(senders, free_port):
    answer = await senders().post(f"http://127.0.0.1:{free_port()}/", {}, b"{}")
    assert "does not accept connections" in answer.error
    answer = await senders(names=Names([])).post("http://nowhere.test/", {}, b"{}")
    assert "leads to no address" in answer.error


async def test_nonsense_instead_of_http_is_a_failure(senders):
    async def babble(_reader, writer):
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        answer = await senders().post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
    assert answer.error.startswith("the connection broke")


@pytest.fixture
def tls(tmp_path):
    """A certificate of `hooks.test`: the server's context, and a client's that trusts it."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = serialization.NoEncryption()
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, private)
    )
    (tmp_path / "cert.pem").write_bytes(pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_tls_speaks_to_the_name_although_the_connection_goes_to_the_address(senders, tls):
    server, client = tls
    async with Receiver(tls=server) as receiver:
        url = f"https://hooks.test:{receiver.port}/"
        answer = await senders(names=Names(["127.0.0.1"]), tls=client).post(url, {}, b"{}")
        assert (answer.status, answer.error) == (204, None)
        answer = await senders(names=Names(["127.0.0.1"])).post(url, {}, b"{}")
        assert answer.status is None
        assert answer.error.startswith("no secure connection")
        other = f"https://other.test:{receiver.port}/"
        answer = await senders(names=Names(["127.0.0.1"]), tls=client).post(other, {}, b"{}")
        assert "other.test" in answer.error
        assert len(receiver.received) == 1
