"""The egress proxy: every connection is checked, and goes to exactly the address that was checked."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import structlog

from domain.destinations import Destination, Rules, Verdict
from drivers.egress.asking import (
    HEAD_TIMEOUT_S,
    Forward,
    Http,
    Question,
    Socks,
    Socks4,
    Tunnel,
    Unanswerable,
    first_byte,
    read_head,
    spoken,
)
from drivers.egress.forwarding import Forwarding
from drivers.egress.lookups import Lookups
from drivers.egress.own_addresses import own_of
from drivers.egress.sandboxes import Sandbox
from drivers.egress.shares import Share, Shares, TooManyError
from drivers.egress.streams import CHUNK, Passed, Stream, close, dial, join
from runtime.outbound import LookupUnavailableError, Resolve, UnreachableError, UnresolvedError, judged

log = structlog.get_logger(__name__)

HEAR_OUT_S = 1.0
LOOKUP_TIMEOUT_S = 15.0

_LISTED = "the operator allows no service.egress to it (DELIVERY_SERVICE_EGRESS)"
_ADDRESS = "it is not on the public internet, and the operator names no such destination (DELIVERY_CODE_EGRESS)"


@dataclass
class Account:
    """The log entry of one connection. No path, query or header: they may contain secrets."""

    began: float = field(default_factory=time.monotonic)
    to: Destination | None = None
    address: str = ""
    passed: Passed = field(default_factory=Passed)
    verdict: Verdict = Verdict.ALLOWED

    def write(self, sandbox: Sandbox) -> None:
        """Write the log line."""
        log.info(
            "egress.connection",
            organization=sandbox.organization,
            project=sandbox.project,
            sandbox=sandbox.id,
            host=self.to.host if self.to else "",
            port=self.to.port if self.to else 0,
            address=self.address,
            verdict=self.verdict.value,
            sent=self.passed.sent,
            received=self.passed.received,
            seconds=round(time.monotonic() - self.began, 3),
        )


class Proxy:
    """Serves connections of sandboxes.

    Args:
        rules: what the operator allows.
        shares: limits per organization.
        resolve: resolves names to addresses.
    """

    def __init__(self, rules: Rules, shares: Shares, resolve: Resolve) -> None:
        self._rules = rules
        self._shares = shares
        self._lookups = Lookups(resolve)

    async def may_come(self, sandbox: Sandbox) -> None:
        """Returns when one more connection of the sandbox's organization may be accepted."""
        await self._shares.of(sandbox.organization).new.take(1)

    async def serve(self, inside: Stream, sandbox: Sandbox) -> None:
        """Serve one connection to its end."""
        account = Account()
        share = self._shares.of(sandbox.organization)
        try:
            with share.place():
                await self._serve(inside, sandbox, share, account)
        except TooManyError:
            account.verdict = Verdict.TOO_MANY
            words = "your organization has as many connections open as it may; close some"
            inside[1].write(Http.no(Unanswerable(Verdict.TOO_MANY, words)))
            await _hear_out(inside)
        except (OSError, EOFError):
            pass  # a side disconnected
        finally:
            close(inside[1])
            if account.to or account.verdict is not Verdict.ALLOWED:  # else it closed before it sent a request
                account.write(sandbox)

    async def _serve(self, inside: Stream, sandbox: Sandbox, share: Share, account: Account) -> None:
        kind: type[Http | Socks | Socks4] = Http
        try:
            async with _limit(HEAD_TIMEOUT_S, "the request did not arrive in time", status=408):
                first = await first_byte(inside[0])
                kind = spoken(first)
                if kind is Http:
                    asked: Tunnel | Question | Forward = Http(await read_head(inside[0], first)).parse()
                else:
                    asked = await (Socks if kind is Socks else Socks4).parse(*inside)
            account.to = asked.to
            if isinstance(asked, Question):
                await self._judged(asked.to, sandbox)
                inside[1].write(asked.yes)
                return
            if isinstance(asked, Forward):
                forwarding = Forwarding(asked, inside, account.passed, share.bytes.take)
            account.address, outside = await self._connect(asked.to, sandbox)
            try:
                if isinstance(asked, Forward):
                    await forwarding.run(outside)
                else:
                    inside[1].write(asked.yes)
                    await join(inside, outside, account.passed, share.bytes.take)
            finally:
                close(outside[1])
        except Unanswerable as why:
            account.verdict = why.verdict
            inside[1].write(kind.no(why))
            await _hear_out(inside)

    async def _connect(self, to: Destination, sandbox: Sandbox) -> tuple[str, Stream]:
        """Connect to a checked address. Raises `Unanswerable`."""
        addresses = await self._judged(to, sandbox)
        try:
            return await dial(addresses, to.port)
        except UnreachableError:
            raise Unanswerable(Verdict.UNREACHABLE, f"{to} does not accept connections") from None

    async def _judged(self, to: Destination, sandbox: Sandbox) -> list[str]:
        """The addresses of a host, all of them allowed. Raises `Unanswerable`."""

        async def resolve(host: str) -> Sequence[str]:
            return [str(to.literal)] if to.literal else await self._lookups.addresses(host, sandbox.organization)

        def judge(address: str) -> None:
            verdict = self._rules.judge(to, [address], sandbox.listed, own_of([address]))
            if verdict is not Verdict.ALLOWED:
                raise Unanswerable(verdict, f"{to} is not allowed: {self._why(verdict, to, sandbox)}")

        not_now = f"the name {to.host} cannot be looked up now"
        async with _limit(LOOKUP_TIMEOUT_S, not_now):
            try:
                return await judged(to.host, resolve, judge)
            except LookupUnavailableError:
                raise Unanswerable(Verdict.TIMEOUT, not_now) from None
            except UnresolvedError:
                raise Unanswerable(Verdict.NO_HOST, f"there is no host {to.host}") from None

    @staticmethod
    def _why(verdict: Verdict, to: Destination, sandbox: Sandbox) -> str:
        if verdict is Verdict.PORT:
            return "the port is not (DELIVERY_CODE_PORTS)"
        return _LISTED if to in sandbox.listed else _ADDRESS


async def _hear_out(inside: Stream) -> None:
    """Read what the client still sends: if we closed now, it would see a reset instead of the answer."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(HEAR_OUT_S):
            inside[1].write_eof()
            while await inside[0].read(CHUNK):
                pass


@contextlib.asynccontextmanager
async def _limit(seconds: float, words: str, *, status: int = 0) -> AsyncIterator[None]:
    """Raises `Unanswerable` with this message on timeout."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unanswerable(Verdict.TIMEOUT, words, status) from None
