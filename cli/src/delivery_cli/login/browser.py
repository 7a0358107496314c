"""Logging in with the browser: authorization code with PKCE (S256), back to a port of this machine (RFC 8252)."""

import base64
import hashlib
import secrets
import sys
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from delivery_cli.faults import Fault, UsageFault
from delivery_cli.login.endpoints import Endpoints, Refused, post
from delivery_cli.login.tokens import Tokens

CLIENT_ID: Final = "0193b5a0-0000-7000-8000-00000000c11e"
"""The application "Delivery command line", the same on every server."""
PATH: Final = "/callback"
SECONDS: Final = 300
_PAGE: Final = (
    b"<!doctype html><meta charset=utf-8><title>delivery</title>"
    b"<body style='font-family: sans-serif; margin: 4em'><p>%s</p><p>You can close this window.</p>"
)


@dataclass(frozen=True, repr=False)
class Attempt:
    """One login: what was sent, to compare with what comes back."""

    state: str
    verifier: str

    @property
    def challenge(self) -> str:
        """The verifier's SHA-256, in base64url without padding."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


def log_in(
    endpoints: Endpoints,
    *,
    client_id: str = CLIENT_ID,
    seconds: float = SECONDS,
    show: Callable[[str], bool] = webbrowser.open,
) -> Tokens:
    """Open the login page and wait for the browser to come back.

    Raises:
        UsageFault: this machine has no port for it.
        Refused: the user, or the server, said no.
        Fault: nobody came back in time.
    """
    attempt = Attempt(secrets.token_urlsafe(24), secrets.token_urlsafe(48))
    try:
        # Any free port: a server takes each one for the loopback address (RFC 8252, 7.3).
        server = _Listener(("127.0.0.1", 0), _Handler)
    except OSError as error:
        raise UsageFault(
            f"nothing can listen on 127.0.0.1 here ({error}): the browser could not come back",
            "use a key: `delivery login --with-key < key`",
        ) from error
    server.state = attempt.state
    redirect = f"http://127.0.0.1:{server.server_port}{PATH}"
    address = f"{endpoints.authorize}?{urlencode(_request(attempt, client_id, redirect))}"
    with server:
        _tell(address, server.server_port, show)
        answer = server.wait(seconds)
    code = _checked(answer, endpoints)
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect}
    return Tokens.of(post(endpoints.token, {**fields, "client_id": client_id, "code_verifier": attempt.verifier}))


def _request(attempt: Attempt, client_id: str, redirect: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect,
        "state": attempt.state,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }


def _tell(address: str, port: int, show: Callable[[str], bool]) -> None:
    opened = False
    try:
        opened = show(address)
    except Exception:  # noqa: BLE001 - browsers' launchers raise whatever they like; the address is printed anyway
        opened = False
    what = "Your browser opens" if opened else "Open"
    sys.stderr.write(f"{what} this page; this waits until you have logged in there:\n\n  {address}\n\n")
    if not opened:
        sys.stderr.write(
            f"On another machine: `ssh -L {port}:127.0.0.1:{port} THIS-MACHINE` first, or log in with a key:\n"
            "  delivery login --with-key < key\n"
        )
    sys.stderr.flush()


def _checked(answer: dict[str, str], endpoints: Endpoints) -> str:
    if answer.get("iss", endpoints.issuer) != endpoints.issuer:
        raise Fault(
            f"the browser came back from {answer['iss']}, not from {endpoints.issuer}", "do not use this server"
        )
    if "error" in answer:
        raise Refused(answer["error"], answer.get("error_description", ""), "start again: `delivery login`")
    if "code" not in answer:
        raise Fault("the browser came back without a code", "start again: `delivery login`")
    return answer["code"]


class _Listener(HTTPServer):
    """Waits for one answer."""

    allow_reuse_address = True
    timeout = 1.0

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type] # as http.server calls it
        self.state = ""
        self.answer: dict[str, str] | None = None

    def wait(self, seconds: float) -> dict[str, str]:
        """What the browser brought; others (icons, scanners, another login's page) are answered and forgotten."""
        deadline = time.monotonic() + seconds
        while self.answer is None:
            if time.monotonic() > deadline:
                raise Fault(f"nobody logged in within {seconds:g} s", "start again: `delivery login`", retryable=True)
            self.handle_request()
        return self.answer

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks is no fault of ours: the next one may be good."""


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = 5.0

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != PATH:
            self._answer(404, b"Nothing here.")
            return
        given = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if not compare_digest(given.get("state", "").encode(), self.server.state.encode()):
            self._answer(400, b"This belongs to another login, not to the one that waits here.")
            return
        self.server.answer = given
        good = "code" in given
        self._answer(200, b"You are logged in." if good else b"The login was refused.")

    def _answer(self, status: int, words: bytes) -> None:
        body = _PAGE % words
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The address has the code in it: it is not printed."""


__all__ = ["CLIENT_ID", "Attempt", "log_in"]
