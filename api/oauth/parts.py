"""The parts of the OAuth server."""

from dataclasses import dataclass

from fastapi import Request

from api.auth.signing_keys import SigningKeys
from api.auth.tokens import TokenVerifier
from api.oauth.throttle import Throttle
from api.rate_limits.sensitive_limits import OwnLimits
from runtime.encryption import Sealer
from runtime.passwords import Passwords
from runtime.settings import Settings
from storage.engine import Sessions


@dataclass(frozen=True)
class OAuthParts:
    """Created and closed in the lifespan."""

    settings: Settings
    sessions: Sessions
    keyring: SigningKeys
    verifier: TokenVerifier
    throttle: Throttle
    limits: OwnLimits
    sealer: Sealer
    passwords: Passwords

    @property
    def is_https(self) -> bool:
        """Whether browsers reach us over TLS."""
        return self.settings.base_url.startswith("https://")


def oauth_parts(request: Request) -> OAuthParts:
    """The parts of the application a request came to."""
    parts: OAuthParts = request.app.state.parts.oauth
    return parts
