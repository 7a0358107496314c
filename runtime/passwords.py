"""Passwords of people: argon2id with the parameters of RFC 9106 (64 MiB, 3 passes, 4 lanes), some 50 ms each."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.errors import DependencyError

MIN_CHARACTERS: Final = 8
MAX_BYTES: Final = 1024
AT_ONCE: Final = 4  # 256 MiB
WAIT_S: Final = 5.0

T = TypeVar("T")


def check_password(password: str) -> str:
    """The password, if it is one that can be set.

    Raises:
        ValueError: too short or too long.
    """
    if len(password) < MIN_CHARACTERS:
        raise ValueError(f"must have at least {MIN_CHARACTERS} characters")
    if _size(password) > MAX_BYTES:
        raise ValueError(f"must not be longer than {MAX_BYTES} bytes")
    return password


def new_password() -> str:
    """One for a machine to choose: 144 bits in 24 characters."""
    return secrets.token_urlsafe(18)


class Passwords:
    """Hashes and verifies beside the event loop, a few at once: more would take the machine's memory.

    Args:
        hasher: the present parameters; hashes made with others still verify, see `is_current`.
        at_once: how many in this process.
        wait_s: seconds that one waits for its turn.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobodys = self._hasher.hash(secrets.token_bytes())
        self._turns = asyncio.Semaphore(at_once)
        self._wait_s = wait_s

    async def hash(self, password: str) -> str:
        """What is stored of a password.

        Raises:
            ValueError: it is too short or too long.
            DependencyError: too many wait for this already.
        """
        plain = _normal(check_password(password))
        return await self._in_turn(lambda: self._hasher.hash(plain))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether a password is the stored one. With None (no such user, or one without a password) it takes as long.

        Raises:
            DependencyError: too many wait for this already.
        """
        if _size(password) > MAX_BYTES:
            return False  # such a password cannot be set
        plain = _normal(password)
        return await self._in_turn(lambda: self._verify(stored, plain))

    def is_current(self, stored: str) -> bool:
        """Whether a hash was made with the present parameters; if not, store `hash` of the verified password anew."""
        return not self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str | None, plain: bytes) -> bool:
        try:
            self._hasher.verify(self._nobodys if stored is None else stored, plain)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    async def _in_turn(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError as error:
            raise DependencyError("too many logins are being checked; try again in a moment") from error
        # A thread cannot be cancelled: it keeps its place until it ends, also when its caller is gone.
        done = asyncio.ensure_future(asyncio.to_thread(work))
        done.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(done)


def _normal(password: str) -> bytes:
    """One sequence of bytes for what looks the same on different keyboards (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def _size(password: str) -> int:
    return len(password.encode(errors="surrogatepass"))
