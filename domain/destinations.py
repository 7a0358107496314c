"""Destinations that other people's code may connect to: checked by name, port and every address of the name.

The public internet except for some ports, plus the operator's list. Nothing here connects or resolves a name: callers
resolve first, have every address checked, and connect to exactly one of those addresses.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

from domain.addresses import is_public, spelled_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_PORT = 65535
MAX_HOST = 253
DEFAULT_PORTS = "1-24,26-65535"
"""All except the port between mail servers: spam sent by tenants' code would come from us."""
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_PATTERN = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|\*")
_LAST_LABEL_OF_A_NUMBER = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)$")
# Networks to which a name listed by the operator may resolve, besides the public internet: private networks.
_INNER: tuple[Network, ...] = (
    *map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")),
    IPv6Network("fc00::/7"),
)
# Those of them at which clouds serve the machine's credentials (Alibaba, AWS, Google, Scaleway, Akamai).
_METADATA: tuple[Network, ...] = (
    IPv4Network("100.100.100.200/32"),
    *map(IPv6Network, ("fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128", "fd00:a9fe:a9fe::1/128")),
)


class Verdict(StrEnum):
    """The decision about a connection."""

    ALLOWED = "allowed"
    BAD_REQUEST = "bad_request"
    PORT = "port_not_allowed"
    ADDRESS = "address_not_allowed"
    NO_HOST = "no_such_host"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TOO_MANY = "too_many"


@dataclass(frozen=True)
class Ports:
    """Ranges of ports, both ends included."""

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """`1-24,26-65535`; empty: none.

        Raises:
            ValueError: the text is invalid.
        """
        return cls(tuple(_range(part.strip()) for part in text.split(",") if part.strip()))

    def __contains__(self, port: int) -> bool:
        return any(low <= port <= high for low, high in self.ranges)


ALL_PORTS: Final = Ports(((1, MAX_PORT),))


@dataclass(frozen=True, order=True)
class Destination:
    """A host in normalized form, without brackets, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `host:port`, as in proxy requests and in `service.egress`.

        Raises:
            ValueError: the text is invalid; the message says what it should be.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not _is_port(port):
            raise ValueError(f"must be host:port, with a port from 1 to {MAX_PORT}")
        if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
            raise ValueError("an IPv6 address stands in brackets: [2001:db8::1]:443")
        return cls(plain_host(host), int(port))

    @property
    def literal(self) -> Address | None:
        """The address that the host denotes; None for a name."""
        return spelled_address(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Named:
    """A destination listed by the operator: hosts or a network, and ports.

    Attributes:
        hosts: a name, or `*.` and a suffix; empty: it is a network.
        network: addresses, which may include loopback.
    """

    ports: Ports
    hosts: str = ""
    network: Network | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`db.internal:5432`, `*.db.internal:5432-5433`, `10.1.0.0/16`, `[fd00::/8]:443`; no port: all.

        Raises:
            ValueError: the text is invalid.
        """
        host, ports = _split(text)
        try:
            return cls(ports, network=ip_network(host))
        except ValueError:
            pass
        name = host.lower().removesuffix(".")
        if not _PATTERN.fullmatch(name) or _LAST_LABEL_OF_A_NUMBER.search(name):
            raise ValueError(f"{text!r} is no host, *.domain, address or network, with :port or :from-to behind it")
        return cls(ports, hosts=name)

    def covers(self, asked: Destination, address: Address) -> bool:
        """Whether it is included; a name never includes loopback, link-local or cloud metadata addresses."""
        if asked.port not in self.ports:
            return False
        if self.network is not None:
            return address in self.network
        return fnmatchcase(asked.host, self.hosts) and (is_public(address) or _is_inner(address))


@dataclass(frozen=True)
class Rules:
    """The operator's rules.

    Attributes:
        ports: allowed ports on the public internet.
        everybody: further destinations of all builds and services.
        listed: further destinations of a service, if its `service.egress` lists them.
    """

    ports: Ports = field(default_factory=lambda: Ports.parse(DEFAULT_PORTS))
    everybody: tuple[Named, ...] = ()
    listed: tuple[Named, ...] = ()

    @classmethod
    def parse(cls, *, ports: str, everybody: str, listed: str) -> Self:
        """Parse the settings.

        Raises:
            ValueError: one of them is invalid.
        """
        return cls(Ports.parse(ports), parse_named(everybody), parse_named(listed))

    def judge(
        self, asked: Destination, addresses: Iterable[str], listed: Collection[Destination], own: Collection[Address]
    ) -> Verdict:
        """Whether code may connect there: only if all of the addresses are allowed.

        Args:
            asked: the requested destination.
            addresses: all addresses of its host.
            listed: the destinations in the code's `service.egress`.
            own: those of them that are this machine's: treated as loopback, since no firewall protects them.
        """
        verdicts = [self._judge(asked, plain_address(text), asked in listed, own) for text in addresses]
        return next((verdict for verdict in verdicts if verdict is not Verdict.ALLOWED), Verdict.ALLOWED)

    def _judge(self, asked: Destination, address: Address, is_listed: bool, own: Collection[Address]) -> Verdict:  # noqa: FBT001 - of one caller
        named = (*self.everybody, *(self.listed if is_listed else ()))
        if any(each.covers(asked, address) for each in named if address not in own or each.network is not None):
            return Verdict.ALLOWED
        if asked.port not in self.ports:
            return Verdict.PORT
        return Verdict.ALLOWED if is_public(address) and address not in own else Verdict.ADDRESS


def plain_host(text: str) -> str:
    """The normalized form of a host: lower case, no trailing dot, an address in canonical notation.

    `0x7f.1`, `2130706433` and `[::ffff:127.0.0.1]` become `127.0.0.1`: everything that resolvers take for an address is
    one.

    Raises:
        ValueError: it is not a host.
    """
    host = text.lower().removesuffix(".")
    if host.startswith("["):
        host = host.removeprefix("[").removesuffix("]")
        if ":" not in host:
            raise ValueError("only IPv6 addresses stand in brackets")
    if not host.isascii() or not host.isprintable() or " " in host:
        raise ValueError("is no host name; names with other letters are written as xn--...")
    if "%" in host:
        raise ValueError("an address with a zone leads into one machine's own network")
    if host != "localhost" and not host.endswith(".localhost") and (literal := spelled_address(host)) is not None:
        return str(plain_address(str(literal)))
    # A name cannot end in a number (RFC 1123, 2.1; WHATWG's URL): programs would read it as an address.
    if len(host) > MAX_HOST or not _NAME.fullmatch(host) or _LAST_LABEL_OF_A_NUMBER.search(host):
        raise ValueError("is no host name: labels of letters, digits and - with dots between")
    return host


def plain_address(text: str) -> Address:
    """An address; an IPv4-mapped one as IPv4.

    Raises:
        ValueError: it is not an address.
    """
    address = ip_address(text)
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def parse_named(text: str) -> tuple[Named, ...]:
    """Parse listed destinations, separated by commas.

    Raises:
        ValueError: one of them is invalid; the message names it.
    """
    return tuple(Named.parse(part.strip()) for part in text.split(",") if part.strip())


def _is_inner(address: Address) -> bool:
    return any(address in network for network in _INNER) and not any(address in network for network in _METADATA)


def _split(text: str) -> tuple[str, Ports]:
    """Host and ports; `[v6]:port`, a bare IPv6 network, or anything else with at most one colon."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        if rest and not rest.startswith(":"):
            raise ValueError(f"{text!r} has something else than :port behind its brackets")
        return host, Ports.parse(rest[1:]) if rest else ALL_PORTS
    if text.count(":") != 1:
        return text, ALL_PORTS
    host, _, ports = text.partition(":")
    return host, Ports((_range(ports),))


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    high = high if dash else low
    if not _is_port(low) or not _is_port(high) or int(low) > int(high):
        raise ValueError(f"{text!r} is no port from 1 to {MAX_PORT}, nor a range of them like 8000-8999")
    return int(low), int(high)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT)) and 0 < int(text) <= MAX_PORT
