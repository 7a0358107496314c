"""Which addresses are this machine's own. Isolated code may not connect to them, whether they are public or not."""

import socket
from ipaddress import ip_address

from domain.destinations import Address, plain_address


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
