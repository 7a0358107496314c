"""Names become addresses, as the operating system does it, in threads of our own and with limits."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from domain.destinations import Address, plain_address

Resolve = Callable[[str], Awaitable[list[str]]]
# A resolver that does not answer keeps a thread for seconds; names of other tenants must not wait for it.
THREADS = 64
MAX_ADDRESSES = 16


class NoSuchNameError(Exception):
    """A name that leads nowhere."""


class Names:
    """Looks up names. One question for all who ask at once: a name that is never answered takes one thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="names")
        self._asked: dict[str, asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """The addresses of a host.

        It takes as long as the system's resolver does; who has less time gives up waiting.

        Raises:
            NoSuchNameError: it has none.
        """
        asked = self._asked.get(host)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, _ask_system, host)
            self._asked[host] = asked
            asked.add_done_callback(lambda answered: self._forget(host, answered))
        # Whoever gives up leaves the question to the others: its thread is taken until there is an answer anyway.
        return await asyncio.shield(asked)

    def close(self) -> None:
        """Let go of the threads; those that wait for a resolver end when it does."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, host: str, answered: asyncio.Future[list[str]]) -> None:
        del self._asked[host]
        if not answered.cancelled():
            answered.exception()  # looked at, also when nobody waits for it any more


def is_own(address: Address) -> bool:
    """Whether an address is one of this machine's: the kernel would then send from that very address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the protocol's name
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # nothing is sent
        try:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
        except OSError:  # no way there at all
            return False


def own_of(addresses: list[str]) -> frozenset[Address]:
    """Those that are this machine's."""
    return frozenset(address for address in map(plain_address, addresses) if is_own(address))


def _ask_system(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoSuchNameError(host) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]
