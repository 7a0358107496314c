"""Names become addresses, as the operating system does it, in threads of our own. Who may ask when: `lookups.py`."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from domain.destinations import Address, plain_address

Resolve = Callable[[str], Awaitable[list[str]]]
# A resolver that does not answer keeps a thread for seconds. As many as are needed are made: for those that may ask at
# once, and one for each further organization that asks.
THREADS = 1024
MAX_ADDRESSES = 16
# Of the system's resolver: two tries of two seconds for each server, not of five.
PATIENCE = "timeout:2 attempts:2"


class NoSuchNameError(Exception):
    """A name that leads nowhere."""


def bound_patience() -> None:
    """Have this process's lookups give up soon, unless the operator says how long; before the first one."""
    os.environ.setdefault("RES_OPTIONS", PATIENCE)


class Names:
    """Looks up names."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="names")

    async def resolve(self, host: str) -> list[str]:
        """The addresses of a host.

        It takes as long as the system's resolver does; who has less time gives up waiting.

        Raises:
            NoSuchNameError: it has none.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, _ask_system, host)

    def close(self) -> None:
        """Let go of the threads; those that wait for a resolver end when it does."""
        self._threads.shutdown(wait=False, cancel_futures=True)


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
