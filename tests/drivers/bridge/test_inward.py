"""From a unix socket outside to the service's port inside."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from tests.drivers.bridge.bed import DEADLINE_S, Bridge, children, free_port, reset, until
from tests.drivers.bridge.conftest import Begin

MIB = 1024 * 1024


def listening(port: int, address: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(4096)
    made.settimeout(DEADLINE_S)
    return made


async def pair(bridge: Bridge, service: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A client's socket and the service's, joined."""
    client = bridge.dial()
    accepted, _ = await asyncio.to_thread(service.accept)
    accepted.settimeout(DEADLINE_S)
    return client, accepted


def everything(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(MIB):
        parts.append(part)
    return b"".join(parts)


async def test_the_end_of_a_request_is_no_end_of_its_answer(bridge: Begin) -> None:
    """Half-closed both ways: who has said all still hears."""
    port = free_port()
    with listening(port) as service:
        client, accepted = await pair(await bridge(port=port), service)
        with client, accepted:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(everything, accepted) == b"question"
            accepted.sendall(b"answer")
            accepted.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(everything, client) == b"answer"


async def test_a_large_body_each_way_at_once_arrives_whole(bridge: Begin) -> None:
    port = free_port()
    up, down = bytes(range(256)) * (128 * 1024), bytes(range(255, -1, -1)) * (128 * 1024)
    with listening(port) as service:
        begun = await bridge(port=port)
        client, accepted = await pair(begun, service)
        with client, accepted:

            def say(sock: socket.socket, data: bytes) -> None:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)

            _, _, received, answered = await asyncio.gather(
                asyncio.to_thread(say, client, up),
                asyncio.to_thread(say, accepted, down),
                asyncio.to_thread(everything, accepted),
                asyncio.to_thread(everything, client),
            )
        assert received == up
        assert answered == down
        assert begun.resident_kib() < 2048


async def test_a_slow_reader_holds_up_the_writer_and_costs_no_memory(bridge: Begin) -> None:
    port = free_port()
    with listening(port) as service:
        begun = await bridge(port=port)
        client, accepted = await pair(begun, service)
        other_client, other = await pair(begun, service)
        with client, accepted, other_client, other:
            accepted.setblocking(False)
            sent = 0
            while sent < 256 * MIB:  # the buffers of the kernel are full long before
                try:
                    sent += accepted.send(b"x" * MIB)
                except BlockingIOError:
                    await asyncio.sleep(0.2)
                    try:
                        sent += accepted.send(b"x" * MIB)
                    except BlockingIOError:
                        break
            assert sent < 64 * MIB
            assert begun.resident_kib() < 2048
            await until(begun.rests)
            other.sendall(b"others are not held up")  # while one is
            assert other_client.recv(100) == b"others are not held up"
            accepted.shutdown(socket.SHUT_WR)
            assert len(await asyncio.to_thread(everything, client)) == sent


async def test_where_nobody_listens_the_answer_says_that_no_service_has_seen_the_request(bridge: Begin) -> None:
    port = free_port()
    begun = await bridge(port=port)
    reader, writer = await begun.connect()
    writer.write(b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
    answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nx-delivery-refused: 1" in head
    assert f"content-length: {len(body)}".encode() in head
    assert body.startswith(b'{"error":{"code":"SERVICE_UNAVAILABLE"')
    writer.close()
    with listening(port) as service:  # and when somebody does, it is reached
        client, accepted = await pair(begun, service)
        with client, accepted:
            client.sendall(b"hello")
            assert accepted.recv(10) == b"hello"


async def test_a_service_on_the_loopback_of_ipv6_alone_is_reached(bridge: Begin) -> None:
    port = free_port()
    with listening(port, "::1") as service:
        client, accepted = await pair(await bridge(port=port), service)
        with client, accepted:
            client.sendall(b"hello")
            assert accepted.recv(10) == b"hello"


async def test_a_client_that_breaks_off_is_a_reset_for_the_service(bridge: Begin) -> None:
    port = free_port()
    with listening(port) as service:
        begun = await bridge(port=port)
        client, accepted = await pair(begun, service)
        accepted.sendall(b"an answer that nobody reads")
        await until(lambda: len(client.recv(100, socket.MSG_PEEK)) > 0)
        client.close()  # with unread data: an abort
        with accepted, pytest.raises(ConnectionResetError):
            await asyncio.to_thread(everything, accepted)
        await until(lambda: begun.descriptors() < 10)


async def test_a_service_that_resets_ends_the_client_after_what_it_sent(bridge: Begin) -> None:
    port = free_port()
    with listening(port) as service:
        begun = await bridge(port=port)
        client, accepted = await pair(begun, service)
        with client:
            accepted.sendall(b"half an ans")
            await until(lambda: client.recv(100, socket.MSG_PEEK) == b"half an ans")
            reset(accepted)
            assert await asyncio.to_thread(everything, client) == b"half an ans"
        await until(lambda: begun.descriptors() < 10)


async def test_an_answer_before_the_body_was_read_arrives_though_the_service_closes(bridge: Begin) -> None:
    """A 413 to a body of many megabytes: the service closes with most of it unread."""
    port = free_port()
    with listening(port) as service:
        client, accepted = await pair(await bridge(port=port), service)
        with client:
            client.setblocking(False)
            while True:
                try:
                    client.send(b"x" * MIB)
                except BlockingIOError:
                    break
            accepted.sendall(b"HTTP/1.1 413 Too Large\r\n\r\n" + b"y" * 100_000)
            accepted.close()
            client.setblocking(True)
            assert len(await asyncio.to_thread(everything, client)) == 100_026


async def test_many_connections_that_say_nothing_cost_nothing(bridge: Begin) -> None:
    port = free_port()
    with listening(port) as service:
        begun = await bridge(port=port)
        pairs = [await pair(begun, service) for _ in range(400)]
        for at, (client, accepted) in enumerate(pairs):
            if at % 4 == 1:
                client.shutdown(socket.SHUT_WR)
            elif at % 4 == 2:
                accepted.shutdown(socket.SHUT_WR)
            elif at % 4 == 3:
                accepted.sendall(b"unread")
        await until(begun.rests)
        assert begun.resident_kib() < 2048
        for client, accepted in pairs:
            client.close()
            accepted.close()
        await until(lambda: begun.descriptors() < 10)


async def test_without_a_descriptor_left_new_clients_wait_and_nothing_spins(bridge: Begin) -> None:
    port = free_port()
    with listening(port) as service:
        begun = await bridge(port=port, most_files=32)
        clients = [begun.dial() for _ in range(40)]
        for client in clients:
            client.sendall(b"hello")
        await until(begun.rests)

        def serve() -> None:
            for _ in clients:
                accepted, _ = service.accept()
                with accepted:
                    assert accepted.recv(10) == b"hello"
                    accepted.sendall(b"welcome")

        def be_served(client: socket.socket) -> bytes:
            with client:  # who has its answer goes, and makes room
                return client.recv(400)

        served = asyncio.to_thread(serve)
        answers = asyncio.to_thread(lambda: [be_served(client) for client in clients])
        assert (await asyncio.gather(served, answers))[1] == [b"welcome"] * 40


async def test_what_the_command_sent_before_its_end_is_delivered(bridge: Begin, tmp_path: Path) -> None:
    port = free_port()
    script = tmp_path / "last_words.py"
    script.write_text(
        "import socket, sys\n"
        f"s = socket.create_server(('127.0.0.1', {port}))\n"
        "print('up', file=sys.stderr, flush=True)\n"
        "c, _ = s.accept()\n"
        "c.sendall(b'x' * 2_000_000)\n"
        "sys.exit(3)\n"
    )
    begun = await bridge(port=port, command=(sys.executable, str(script)))
    assert begun.process.stderr is not None
    await begun.process.stderr.readline()
    with begun.dial() as client:
        await until(lambda: len(children(begun.pid)) == 0)  # it has ended, and most is still on its way
        received = 0
        while part := await asyncio.to_thread(client.recv, 65536):
            received += len(part)
            await asyncio.sleep(0.001)
        assert received == 2_000_000
    assert await begun.ended() == 3
