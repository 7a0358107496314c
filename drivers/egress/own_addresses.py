"""This machine's own addresses. Isolated code may not connect to them, public or not."""

import socket
from ipaddress import ip_address

from domain.destinations import Address, plain_address


def is_own(address: Address) -> bool:
    """Whether an address is this machine's: the kernel would then use it as the source address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the protocol's name
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # connecting a UDP socket sends nothing
        try:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
        except OSError:  # no route
            return False


def own_of(addresses: list[str]) -> frozenset[Address]:
    """Those of the addresses that are this machine's."""
    return frozenset(address for address in map(plain_address, addresses) if is_own(address))
