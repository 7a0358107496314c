"""The client IP of a request: its peer or, behind trusted proxies, the address that they report."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from domain.addresses import parse_networks

UNKNOWN = "unknown"
# The IPv6 prefix that a provider gives to one customer: limits count per such prefix.
_V6_PREFIX = 64

Address = IPv4Address | IPv6Address


class Addresses:
    """Finds the client's address.

    Args:
        trusted: the proxies whose `X-Forwarded-For` is used: CIDRs, separated by commas.
    """

    def __init__(self, trusted: str = "") -> None:
        self._trusted = parse_networks(trusted)

    def of(self, scope: Scope) -> str:
        """The client's IP: the rightmost of `X-Forwarded-For` that is not a trusted proxy."""
        peer = (scope.get("client") or (UNKNOWN,))[0]
        if not self._trusted:
            return str(peer)
        found = _parse(str(peer))
        for name in reversed(_forwarded(scope)):
            if found is None or not self._trusts(found):
                break
            further = _parse(name)
            if further is None:  # trusted proxies never write this
                break
            found = further
        return str(peer) if found is None else str(found)

    def is_proxy(self, address: str) -> bool:
        """Whether many clients may share an address."""
        found = _parse(address)
        return found is not None and self._trusts(found)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def network_of(address: str) -> str:
    """The key for limits: an IPv4 address, or the /64 of an IPv6 one."""
    found = _parse(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _V6_PREFIX), strict=False))
    return address


def _forwarded(scope: Scope) -> list[str]:
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [name.strip() for name in ",".join(values).split(",") if name.strip()]


def _parse(text: str) -> Address | None:
    """An address, with or without a port; an IPv4-mapped one as IPv4."""
    bare = text.partition("]")[0][1:] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
