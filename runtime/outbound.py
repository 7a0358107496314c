"""Connections to hosts that a caller names: look up, judge every address, connect to one of the judged addresses.

For webhooks, for the git of a fetch and for the proxy of builds and services (docs/adr/0042). A host is looked up once
for each connection, so a name that means something else a moment later changes nothing. Which addresses are allowed is
decided by the caller's rule (`domain.addresses`, `domain.destinations`). Drivers use this module, too.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from runtime.single_flight import SharedAnswers

T = TypeVar("T")
Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host; raises `UnresolvedError`."""
Judge = Callable[[str], None]
"""Raises an error of its own for an address that must not be connected to."""

# A name server that does not answer keeps a thread for seconds; other names must not wait for it.
THREADS: Final = 64
MAX_ADDRESSES: Final = 16
# For the system's resolver: two tries of two seconds for each name server, not of five.
PATIENCE: Final = "timeout:2 attempts:2"
# Of `getaddrinfo`: what may work a moment later. All other failures mean that the name leads nowhere.
_TEMPORARY = frozenset({socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM})


class UnresolvedError(Exception):
    """A host has no address that is known now."""


class NoSuchNameError(UnresolvedError):
    """The name does not exist, or has no address."""


class LookupUnavailableError(UnresolvedError):
    """The name cannot be looked up now: no name server answers, or the system is short of something."""


class UnreachableError(Exception):
    """No address accepted the connection."""


class SystemLookup:
    """Looks names up as the operating system does, in threads of its own.

    Everybody who asks for a name while it is looked up waits for the same answer: a name that is never answered takes
    one thread, however many ask for it. For one event loop.

    Args:
        threads: lookups at once; a thread is started when it is needed.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="lookup")
        self._answers: SharedAnswers[str, list[str]] = SharedAnswers(self._ask, keep_s=0)

    async def resolve(self, host: str) -> list[str]:
        """At most `MAX_ADDRESSES` different addresses of a host.

        It takes as long as the system's resolver does. A caller with less time may be cancelled; the lookup goes on for
        the others.

        Raises:
            NoSuchNameError: it has none.
            LookupUnavailableError: it cannot be looked up now.
        """
        return list(await self._answers.get(host))

    def close(self) -> None:
        """Let go of the threads; those that wait for a name server end when it answers or the resolver gives up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, host: str) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _ask_system, host)


def bound_patience() -> None:
    """Have this process's lookups give up soon, unless the operator says how long; before the first one."""
    os.environ.setdefault("RES_OPTIONS", PATIENCE)


async def judged(host: str, resolve: Resolve, judge: Judge) -> list[str]:
    """The addresses of a host, when every one of them is allowed.

    One address that is not allowed refuses the host: which of them is connected to would be chance.

    Raises:
        UnresolvedError: as `resolve`; `NoSuchNameError` when there is no address.
        Exception: what `judge` raises.
    """
    addresses = list(dict.fromkeys(await resolve(host)))
    if not addresses:
        raise NoSuchNameError(host)
    for address in addresses:
        judge(address)
    return addresses


async def dial(
    addresses: Sequence[str],
    connect: Callable[[str], Awaitable[T]],
    *,
    each_s: float | None = None,
    all_s: float | None = None,
    failures: tuple[type[Exception], ...] = (),
) -> tuple[str, T]:
    """Connect to the first address that accepts, in the order given.

    Args:
        addresses: judged ones (`judged`), never a name.
        connect: opens a connection to an address.
        each_s: seconds for one address; None: as long as `connect` takes.
        all_s: seconds for all of them: a name with many addresses must not take for ever; None: no limit.
        failures: what `connect` raises besides `OSError` when an address does not accept.

    Returns:
        The address, and its connection.

    Raises:
        UnreachableError: no address accepted.
    """
    not_accepted: tuple[type[Exception], ...] = (OSError, *failures)  # a TimeoutError is an OSError
    failure: Exception | None = None
    try:
        async with asyncio.timeout(all_s):
            for address in addresses:
                try:
                    async with asyncio.timeout(each_s):
                        return address, await connect(address)
                except not_accepted as error:
                    failure = error
    except TimeoutError as error:
        failure = error
    raise UnreachableError from failure


def _ask_system(host: str) -> list[str]:
    """In a thread. Raises `UnresolvedError`."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that no name can have
        raise NoSuchNameError(host) from error
    except OSError as error:
        is_temporary = not isinstance(error, socket.gaierror) or error.errno in _TEMPORARY
        raise (LookupUnavailableError if is_temporary else NoSuchNameError)(host) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]
