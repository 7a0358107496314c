"""The OAuth server beside the API: where it is (RFC 8414), and its answers, good and bad."""

import json
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from delivery_cli import __version__
from delivery_cli.faults import Fault, Unreachable
from delivery_cli.output.clean import one_line

METADATA: Final = "/.well-known/oauth-authorization-server"
SECONDS: Final = 30
LARGEST: Final = 1 << 20
AGENT: Final = f"delivery-cli/{__version__}"


class Refused(Fault):
    """The OAuth server said no; `error` is RFC 6749's word."""

    def __init__(self, error: str, description: str, hint: str = "") -> None:
        super().__init__(
            f"the server refused the login: {one_line(description or error, 300)}", hint, facts={"code": error}
        )
        self.error = error


@dataclass(frozen=True)
class Endpoints:
    """Where what is."""

    issuer: str
    authorize: str
    token: str
    revoke: str


def discover(url: str) -> Endpoints:
    """Ask the server; raises `Unreachable`, also where it is something else."""
    headers = {"Accept": "application/json", "User-Agent": AGENT}
    found = _asked(Request(url + METADATA, headers=headers))  # noqa: S310 - http and https only: see `_check`
    try:
        endpoints = Endpoints(
            issuer=str(found["issuer"]),
            authorize=str(found["authorization_endpoint"]),
            token=str(found["token_endpoint"]),
            revoke=str(found.get("revocation_endpoint", "")),
        )
    except KeyError as error:
        raise Unreachable(
            f"{url} is no delivery engine: its OAuth metadata has no {error}", "check the address"
        ) from error
    for address in (endpoints.authorize, endpoints.token):
        _check(address)
    return endpoints


def post(address: str, fields: dict[str, str]) -> dict[str, Any]:
    """One form; raises `Refused` or `Unreachable`."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded", "User-Agent": AGENT}
    return _asked(Request(address, urlencode(fields).encode(), headers))  # noqa: S310 - see `_check`


def _asked(request: Request) -> dict[str, Any]:
    address = request.full_url
    if not address.startswith(("http://", "https://")):
        raise Unreachable(
            f"{one_line(address, 100)} is no address of a web server", "check the server's OAuth metadata"
        )
    try:
        with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - see `_check`
            return _read(address, answer.status, answer.read(LARGEST))
    except HTTPError as error:
        with error:
            body = error.read(LARGEST)
        found = _read(address, error.code, body) if body else {}
        if "error" in found and isinstance(found["error"], str):
            raise Refused(found["error"], str(found.get("error_description", ""))) from None
        raise Unreachable(
            f"{address} answered {error.code}", "is this the address of a delivery engine?", retryable=error.code >= 500
        ) from None
    except URLError as error:
        raise unreachable(address, error.reason) from error
    except (OSError, EOFError, ValueError) as error:
        raise unreachable(address, error) from error


def _check(address: str) -> None:
    if not address.startswith(("http://", "https://")):
        raise Unreachable(
            f"{one_line(address, 100)} is no address of a web server", "check the server's OAuth metadata"
        )


def _read(address: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        start = one_line(body[:200].decode(errors="replace"))
        raise Unreachable(
            f"{address} answered {status} with something that is no JSON: {start}",
            "a proxy or a login page in between? `curl -v` shows it",
        ) from None
    if not isinstance(found, dict):
        raise Unreachable(f"{address} answered something else than an OAuth server would", "check the address")
    return found


def unreachable(address: str, reason: object) -> Unreachable:
    """Why nothing came back, and what to do."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Unreachable(
            f"the certificate of {address} is not trusted: {one_line(reason.verify_message, 200)}",
            "is this the right address? A CA of your own: SSL_CERT_FILE=/path/to/ca.pem",
        )
    if isinstance(reason, ssl.SSLError):
        return Unreachable(
            f"no TLS with {address}: {one_line(str(reason), 200)}", "http:// instead of https://, or another port?"
        )
    return Unreachable(
        f"cannot reach {address}: {one_line(str(reason), 200)}",
        "is it running, and is the address right? Proxies are taken from HTTPS_PROXY and NO_PROXY",
        retryable=True,
    )
