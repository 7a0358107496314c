"""Which network addresses belong to the public internet.

The guard of everything that connects to an address a caller names (repositories, webhooks). It checks addresses, never
names: callers resolve first and check every address.
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

# Global according to some releases of Python, but not public: protocol assignments (RFC 6890; includes the metadata of
# Oracle's cloud, at 192.0.0.192), 6to4 relays (RFC 7526). The last is the metadata of Azure, which no RFC reserves.
_NOBODYS = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")  # RFC 4291, 2.4
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))  # Teredo and 6to4 lead to any IPv4 address


def is_public(ip: str | IPv4Address | IPv6Address) -> bool:
    """Whether an address is reachable over the public internet.

    False for loopback, private, link-local (cloud metadata among them), shared, multicast, reserved and tunnelled
    addresses, and for text that is not an address.
    """
    try:
        address = ip_address(ip) if isinstance(ip, str) else ip
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        return _is_public_v6(address)
    return _is_public_v4(address)


def is_reachable(ip: str | IPv4Address | IPv6Address, allowed: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether we may connect to an address: it is public, or in a network that the operator allowed.

    An IPv4-mapped address (`::ffff:10.0.0.1`) is checked as an IPv4 address.
    """
    try:
        address = ip_address(ip) if isinstance(ip, str) else ip
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return is_public(address) or any(address in network for network in allowed)


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Parse networks in CIDR notation, separated by commas.

    Raises:
        ValueError: one of them is invalid; the message names it.
    """
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def spelled_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host denotes, in any form that resolvers accept (`2130706433`, `0x7f.1`); None for names."""
    if host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost"):
        return IPv4Address("127.0.0.1")  # RFC 6761, 6.3
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def _is_public_v4(address: IPv4Address) -> bool:
    if any(address in network for network in _NOBODYS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_public_v6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _GLOBAL_UNICAST_V6 or any(address in net for net in _TUNNELS):
        return False
    return address.is_global
