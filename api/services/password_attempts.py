"""Limits guesses at the current password with a stolen token."""

from typing import Final

from api.http.errors import TooOftenError
from api.oauth.throttle import LOGIN, Throttle

_WHAT: Final = "password"


class Tries:
    """Those of one user from one network: whose password it is tries it from elsewhere meanwhile."""

    def __init__(self, throttle: Throttle, subject: str, network: str) -> None:
        self._throttle = throttle
        self._key = f"{_WHAT}\n{subject}\n{network}"

    async def count(self) -> None:
        """Before the password is looked at.

        Raises:
            TooOftenError: it was tried too often; this password is not checked.
        """
        if wait_s := await self._throttle.attempt(self._key, LOGIN):
            raise TooOftenError(int(wait_s) + 1)

    async def forget(self) -> None:
        """It was right."""
        await self._throttle.forget(self._key)
