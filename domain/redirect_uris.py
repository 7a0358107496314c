"""Redirect URIs of applications (RFC 9700, 2.1): compared exactly, so they must be written exactly.

But for the port of a native application's loopback address: it takes one that is free (RFC 8252, 7.3).
"""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

# Only the characters of RFC 3986; the fragment belongs to the response (RFC 6749, 3.1.2).
PATTERN: Final = r"^https?://[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+$"
_ADDRESS = re.compile(PATTERN)
# Addresses only: `localhost` may lead to another machine (RFC 8252, 8.3).
_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::[0-9]+)?((?:[/?].*)?)")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def check_redirect(uri: str) -> str:
    """The URI, if it is allowed.

    Raises:
        ValueError: it is not absolute, not https (http to the loopback interface is allowed: RFC 8252, 7.3), or has a
            fragment, a user, a wildcard or a zone (which may be any text and would end up in a page's CSP).
    """
    if not _ADDRESS.fullmatch(uri):
        raise ValueError("must be https://... (or http:// to a loopback address), without a fragment")
    parts = urlsplit(uri)
    host = parts.hostname or ""
    if "@" in parts.netloc or "%" in parts.netloc or not _is_host(host) or parts.netloc.endswith(":"):
        raise ValueError("must name one host, without user, password or wildcard")
    if parts.port == 0:
        raise ValueError("must not have the port 0")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("must be https: plain http is for loopback addresses only")
    return uri


def is_same_but_for_the_port(known: str, given: str) -> bool:
    """Whether both are the same redirect URI on this machine's loopback address, on whatever ports."""
    first, second = _LOOPBACK.fullmatch(known), _LOOPBACK.fullmatch(given)
    if first is None or second is None or first.groups() != second.groups():
        return False
    try:
        check_redirect(given)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    if ":" in host:
        return _address(host) is not None
    return bool(_HOST.fullmatch(host))


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
