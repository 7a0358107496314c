"""The cookies we set in a browser: the login session, the CSRF token of forms, and the mark of a known device."""

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from fastapi import Request, Response

from api.oauth.parts import OAuthParts
from domain.errors import DependencyError
from runtime.ids import new_id, now

SESSION_FOR: Final = timedelta(hours=8)
DEVICE_FOR: Final = timedelta(days=180)
MAX_COOKIE: Final = 2048
_SESSION: Final = "delivery_session"
_DEVICE: Final = "delivery_device"
_CONTEXT: Final = "oauth-device"
_BYTES: Final = 32


@dataclass(frozen=True)
class Device:
    """A browser in which an account has logged in before."""

    id: UUID
    account: str

    def knows(self, account: str) -> bool:
        """Whether it was this account (a digest of its email)."""
        return hmac.compare_digest(self.account, account)


class Browser:
    """The cookies of a request and of its response."""

    def __init__(self, request: Request, parts: OAuthParts) -> None:
        self._parts = parts
        # With this prefix, no other host, and not this one without TLS, can have set it (RFC 6265bis, 4.1.3.2).
        self._prefix = "__Host-" if parts.is_https else ""
        self._cookies = request.cookies
        given = self._cookies.get(self._prefix + _SESSION, "")
        self.session = given if 0 < len(given) <= MAX_COOKIE else secrets.token_urlsafe(_BYTES)
        self._set: dict[str, tuple[str, timedelta]] = {}
        if self.session != given:
            self._keep_session(self.session)

    @property
    def form_token(self) -> str:
        """The CSRF token of a form, derived from the session cookie."""
        return hmac.new(self.session.encode(), b"form", hashlib.sha256).hexdigest()

    def sent(self, form_token: str) -> bool:
        """Whether a form came from a page that we rendered for this browser."""
        return hmac.compare_digest(form_token.encode(), self.form_token.encode())

    def renew(self) -> str:
        """A new session id at login and logout, against session fixation."""
        self.session = secrets.token_urlsafe(_BYTES)
        self._keep_session(self.session)
        return self.session

    def device(self) -> Device | None:
        """The device, if `mark` has set its cookie."""
        given = self._cookies.get(self._prefix + _DEVICE, "")
        if not 0 < len(given) <= MAX_COOKIE:
            return None
        try:
            told = json.loads(self._parts.sealer.open(urlsafe_b64decode(given), _CONTEXT))
        except (DependencyError, ValueError):
            return None
        marked = datetime.fromisoformat(told["at"])
        return Device(UUID(told["id"]), told["account"]) if now() < marked + DEVICE_FOR else None

    def mark(self, account: str) -> None:
        """Remember this device for this account."""
        told = json.dumps({"id": str(new_id()), "account": account, "at": now().isoformat()}).encode()
        sealed = urlsafe_b64encode(self._parts.sealer.seal(told, _CONTEXT)).decode()
        self._set[_DEVICE] = (sealed, DEVICE_FOR)

    def dress(self, response: Response) -> Response:
        """Set the cookies on a response."""
        for name, (value, lifetime) in self._set.items():
            response.set_cookie(
                self._prefix + name,
                value,
                max_age=int(lifetime.total_seconds()),
                path="/",
                secure=self._parts.is_https,
                httponly=True,
                samesite="lax",  # applications send users here from other sites
            )
        return response

    def _keep_session(self, value: str) -> None:
        self._set[_SESSION] = (value, SESSION_FOR)
