"""Access tokens of a login, renewed before they end, by one process at a time."""

import time
from dataclasses import dataclass
from typing import Any, Final, Self

from delivery_cli.config import credentials
from delivery_cli.config.credentials import Credentials
from delivery_cli.config.folders import only_one
from delivery_cli.config.profiles import Profile
from delivery_cli.faults import Fault, Unreachable, UsageFault
from delivery_cli.login.endpoints import Refused, discover, post

EARLY: Final = 60.0


@dataclass(frozen=True, repr=False)
class Tokens:
    """What the token endpoint answered; `expires_at` is in Unix seconds of this machine's clock."""

    access: str
    refresh: str
    expires_at: float

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """Raises `Unreachable` if it is no answer of a token endpoint."""
        try:
            seconds = float(answer.get("expires_in", 3600))
            return cls(str(answer["access_token"]), str(answer.get("refresh_token", "")), time.time() + seconds)
        except (KeyError, ValueError, TypeError) as error:
            raise Unreachable(
                "the token endpoint's answer has no access token", "is something else in between?"
            ) from error

    @property
    def kept(self) -> Credentials:
        """As they are stored."""
        return Credentials(access_token=self.access, refresh_token=self.refresh, expires_at=self.expires_at)


class Renewed:
    """A valid access token of a profile's login, whenever the SDK asks for one.

    Using a refresh token twice ends the whole login, so the new one is stored before another process may look.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def __call__(self) -> str:
        """Raises `UsageFault` when the login has ended."""
        kept = credentials.read(self._profile.name)
        if not _is_over(kept):
            return kept.access_token
        with only_one("renewal"):
            kept = credentials.read(self._profile.name)
            if _is_over(kept):
                kept = self._renew(kept)
        return kept.access_token

    def _renew(self, kept: Credentials) -> Credentials:
        if not kept.refresh_token:
            raise over(self._profile)
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": kept.refresh_token,
            "client_id": self._profile.client_id,
        }
        try:
            tokens = Tokens.of(post(discover(self._profile.url).token, fields))
        except Refused as error:
            raise over(self._profile) from error
        new = Tokens(tokens.access, tokens.refresh or kept.refresh_token, tokens.expires_at).kept
        credentials.write(self._profile.name, new)
        return new


def revoke(profile: Profile, kept: Credentials) -> bool:
    """End a login at the server, as far as it can be reached."""
    token = kept.refresh_token or kept.access_token
    if not token:
        return False
    try:
        address = discover(profile.url).revoke
        if address:
            post(address, {"token": token, "client_id": profile.client_id})
    except Fault:
        return False
    return bool(address)


def over(profile: Profile) -> UsageFault:
    """The login has ended: after 30 days, by a logout elsewhere, or by a new password."""
    name = "" if profile.name == "default" else f" --profile {profile.name}"
    return UsageFault(
        "your login has ended", f"log in again: `delivery login {profile.url}{name}`", facts={"code": "LOGIN_OVER"}
    )


def _is_over(kept: Credentials) -> bool:
    return not kept.access_token or kept.expires_at - EARLY < time.time()
