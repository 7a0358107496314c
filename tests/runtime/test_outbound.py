"""Look up, judge every address, connect to one of the judged: what webhooks, git and isolated code share."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from runtime import outbound
from runtime.outbound import (
    MAX_ADDRESSES,
    LookupUnavailableError,
    NoSuchNameError,
    SystemLookup,
    UnreachableError,
    dial,
    judged,
)
from tests.support.waiting import until

LIMIT_S = 120


class System:
    """The operating system's resolver: `slow...` is answered when the test says so, `entries` say what else is."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.entries: dict[str, list[str] | Exception] = {}

    gaierror, SOCK_STREAM = socket.gaierror, socket.SOCK_STREAM

    def getaddrinfo(self, host, port, **options):
        assert (port, options) == (None, {"type": socket.SOCK_STREAM})
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        if host.startswith("slow"):
            assert self.go.wait(LIMIT_S)
        found = self.entries.get(host, ["192.0.2.1"])
        if isinstance(found, Exception):
            raise found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in found]


@pytest.fixture
def system(monkeypatch) -> Iterator[System]:
    made = System()
    monkeypatch.setattr(outbound, "socket", made)  # of this module alone: others in this process look up names, too
    yield made
    made.go.set()


@pytest.fixture
def lookup() -> Iterator[SystemLookup]:
    made = SystemLookup(2)
    yield made
    made.close()


async def test_a_host_is_looked_up_in_threads_of_the_lookups_own(system, lookup):
    system.entries["mixed.example"] = ["192.0.2.1", "2001:db8::1", "192.0.2.1"]
    assert await lookup.resolve("mixed.example") == ["192.0.2.1", "2001:db8::1"], "each address once, in their order"
    assert all(name.startswith("lookup") for name in system.threads)


async def test_a_host_has_a_bounded_number_of_addresses(system, lookup):
    system.entries["many.example"] = [f"192.0.2.{number}" for number in range(200)]
    assert await lookup.resolve("many.example") == [f"192.0.2.{number}" for number in range(MAX_ADDRESSES)]


async def test_all_who_ask_for_a_name_share_one_lookup_and_the_next_one_is_new(system, lookup):
    asking = [asyncio.create_task(lookup.resolve("slow.example")) for _ in range(50)]
    await until(lambda: bool(system.asked))
    assert await lookup.resolve("quick.example") == ["192.0.2.1"], "fifty waiters hold one of two threads"
    asking[0].cancel()
    system.go.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == 49 * [["192.0.2.1"]], "who gives up takes nothing from the others"
    system.entries["slow.example"] = ["192.0.2.2"]
    assert await lookup.resolve("slow.example") == ["192.0.2.2"], "no answer is kept"
    assert system.asked == ["slow.example", "quick.example", "slow.example"]


async def test_a_caller_cannot_change_what_another_one_gets(system, lookup):
    asking = [asyncio.create_task(lookup.resolve("slow.example")) for _ in range(2)]
    await until(lambda: bool(system.asked))
    system.go.set()
    first, second = await asyncio.gather(*asking)
    first.clear()
    assert second == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), NoSuchNameError),
        (socket.gaierror(socket.EAI_NODATA, "no address"), NoSuchNameError),
        (socket.gaierror(socket.EAI_FAIL, "refused"), NoSuchNameError),
        (UnicodeError("label too long"), NoSuchNameError),
        (socket.gaierror(socket.EAI_AGAIN, "no server answers"), LookupUnavailableError),
        (socket.gaierror(socket.EAI_MEMORY, "no memory"), LookupUnavailableError),
        (socket.gaierror(socket.EAI_SYSTEM, "no descriptor"), LookupUnavailableError),
        (OSError("no descriptor"), LookupUnavailableError),
    ],
)
async def test_a_name_that_does_not_exist_is_another_thing_than_one_that_cannot_be_looked_up_now(
    system, lookup, error, kind
):
    system.entries["gone.example"] = error
    with pytest.raises(kind):
        await lookup.resolve("gone.example")
    system.entries["gone.example"] = ["192.0.2.1"]
    assert await lookup.resolve("gone.example") == ["192.0.2.1"], "a failure is not kept"


async def test_the_systems_own_answers():
    lookup = SystemLookup()
    try:
        assert await lookup.resolve("127.0.0.1") == ["127.0.0.1"]
        assert await lookup.resolve("0x7f.1") == ["127.0.0.1"], "what the resolver takes for an address"
        with pytest.raises(NoSuchNameError):
            await lookup.resolve("x" * 70 + ".example")
    finally:
        lookup.close()


class ForbiddenError(Exception):
    pass


def judge(address: str) -> None:
    if address.startswith("10."):
        raise ForbiddenError(address)


def names(*addresses: str):
    async def resolve(_host: str) -> list[str]:
        return list(addresses)

    return resolve


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["192.0.2.1", "10.0.0.1"], ["10.0.0.1", "192.0.2.1"]])
async def test_one_address_that_is_not_allowed_refuses_the_host(addresses):
    with pytest.raises(ForbiddenError):
        await judged("host.example", names(*addresses), judge)


async def test_every_address_is_judged_once():
    seen: list[str] = []
    found = await judged("host.example", names("192.0.2.1", "192.0.2.2", "192.0.2.1"), seen.append)
    assert found == seen == ["192.0.2.1", "192.0.2.2"]


async def test_a_name_without_an_address_is_no_host():
    with pytest.raises(NoSuchNameError):
        await judged("host.example", names(), judge)


class Peers:
    """What accepts a connection; the others refuse, or never answer."""

    def __init__(self, *accept: str, silent: tuple[str, ...] = ()) -> None:
        self.accept, self.silent = accept, silent
        self.tried: list[str] = []

    async def connect(self, address: str) -> str:
        self.tried.append(address)
        if address in self.silent:
            await asyncio.Event().wait()
        if address not in self.accept:
            raise ConnectionRefusedError(address)
        return f"to {address}"


async def test_addresses_are_tried_in_their_order_until_one_accepts():
    peers = Peers("b", "c")
    assert await dial(["a", "b", "c"], peers.connect) == ("b", "to b")
    assert peers.tried == ["a", "b"]


async def test_an_address_that_never_answers_is_left_for_the_next_one():
    peers = Peers("b", silent=("a",))
    assert await dial(["a", "b"], peers.connect, each_s=0.05) == ("b", "to b")


async def test_very_many_addresses_do_not_take_for_ever():
    silent = tuple(f"a{number}" for number in range(1000))
    peers = Peers(silent=silent)
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(UnreachableError):
            await dial(silent, peers.connect, each_s=LIMIT_S, all_s=0.05)
    assert peers.tried == ["a0"]


async def test_what_the_caller_counts_as_a_refusal_is_one_and_anything_else_is_a_fault():
    class OtherError(Exception):
        pass

    async def connect(_address: str) -> None:
        raise OtherError

    with pytest.raises(UnreachableError) as caught:
        await dial(["a", "b"], connect, failures=(OtherError,))
    assert isinstance(caught.value.__cause__, OtherError)
    with pytest.raises(OtherError):
        await dial(["a", "b"], connect)


async def test_who_is_cancelled_while_it_connects_tries_no_further_address():
    peers = Peers(silent=("a",))
    dialling = asyncio.create_task(dial(["a", "b"], peers.connect, each_s=LIMIT_S, all_s=LIMIT_S))
    await until(lambda: bool(peers.tried))
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling
    assert peers.tried == ["a"]
