"""Which hosts a repository may be on, and the error if its host is not allowed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from domain.addresses import is_public, is_reachable
from domain.errors import DependencyError, ErrorCode, TerminalError
from domain.repository_url import RepositoryUrl, Scheme
from runtime.outbound import LookupUnavailableError, Resolve, SystemLookup, UnresolvedError, judged

RESOLVE_TIMEOUT_S = 15


@dataclass(frozen=True)
class HostGuard:
    """The addresses that repositories may be on.

    Attributes:
        allow_private: all addresses, including loopback and private ones.
        networks: these in addition to the public internet.
        names: resolves them to addresses.
    """

    allow_private: bool
    networks: Sequence[IPv4Network | IPv6Network] = ()
    names: Resolve = field(default_factory=lambda: SystemLookup().resolve)

    async def resolve(self, host: str) -> list[str]:
        """The addresses of a host, all of them allowed.

        Raises:
            TerminalError: SOURCE_FORBIDDEN, or SOURCE_NOT_FOUND if the name does not exist.
            DependencyError: the resolver does not answer.
        """
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                return await judged(host, self.names, lambda ip: self._judge(host, ip))
        except TimeoutError:
            raise DependencyError(f"the address of {host} could not be looked up in time") from None
        except LookupUnavailableError:
            raise DependencyError(f"the address of {host} cannot be looked up now") from None
        except UnresolvedError:
            raise TerminalError(
                f"there is no host {host}; check the repository's address",
                code=ErrorCode.SOURCE_NOT_FOUND,
                details={"host": host},
            ) from None

    def _judge(self, host: str, ip: str) -> None:
        if not self.allow_private and not is_reachable(ip, self.networks):
            raise TerminalError(
                f"{host} leads to a private or loopback address; repositories must be on the public internet, or in a "
                "network of DELIVERY_EGRESS_NETWORKS",
                code=ErrorCode.SOURCE_FORBIDDEN,
                details={"host": host},
            )

    async def check(self, address: RepositoryUrl) -> bool:
        """Refuse a repository whose host is not allowed; returns whether the host is this machine's loopback.

        Done early for a clear message: `EgressGuard` resolves and checks again what it connects to.

        Raises:
            TerminalError: as `resolve`, and SOURCE_FORBIDDEN for plain http on the public internet.
        """
        if address.host is None:
            return False
        found = await self.resolve(address.host)
        if address.scheme is Scheme.HTTP and any(is_public(ip) for ip in found):
            raise TerminalError(
                f"plain http is accepted for private addresses only; use https://{address.host}/...",
                code=ErrorCode.SOURCE_FORBIDDEN,
                details={"host": address.host},
            )
        return all(ip_address(ip).is_loopback for ip in found)
