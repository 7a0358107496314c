"""Checks of webhook URLs before any connection. Names are checked when they are resolved."""

import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import urlsplit

from domain.addresses import is_reachable, spelled_address
from domain.errors import CallerError

MAX_URL = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}
ANY_PORT = "any"
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|[0-9A-Fa-f:.]{2,45}")
_MAX_PORT = 65535

Networks = Collection[IPv4Network | IPv6Network]


def check_url(url: str, *, ports: Collection[int] | None, networks: Networks) -> None:
    """Refuse a URL that could never be sent to.

    Args:
        url: the user's input.
        ports: allowed ones; None: any.
        networks: private networks that are allowed anyway.

    Raises:
        CallerError: with what to do.
    """
    parts = urlsplit(url) if len(url) <= MAX_URL and _VISIBLE.fullmatch(url) and "\\" not in url else None
    if parts is None or parts.scheme not in DEFAULT_PORTS:
        raise CallerError("must be an http or https address of printable ASCII; a name with other letters as xn--...")
    if "@" in parts.netloc or "#" in url:
        raise CallerError("must not have a user, a password or a fragment; requests are signed instead")
    host, port = _host_and_port(url)
    if ports is not None and port not in ports:
        raise CallerError(f"port {port} is not allowed; allowed: {', '.join(map(str, sorted(ports)))}")
    literal = spelled_address(host)
    if literal is not None and not is_reachable(literal, networks):
        raise CallerError(f"{host} is not on the public internet; give an address that is")


def parse_ports(text: str) -> frozenset[int] | None:
    """Parse ports, separated by commas; `any` is None.

    Raises:
        ValueError: one of them is not a port.
    """
    if text.strip() == ANY_PORT:
        return None
    ports = frozenset(int(part) for part in text.split(","))
    if not all(0 < port <= _MAX_PORT for port in ports):
        raise ValueError(f"ports are from 1 to {_MAX_PORT}")
    return ports


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
        raise CallerError("must name a host, and no other port than from 1 to 65535")
    return parts.hostname, port or DEFAULT_PORTS[parts.scheme]
