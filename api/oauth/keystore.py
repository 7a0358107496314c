"""Encrypted signing keys in the database: shared by all API processes, and rotated by one command."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.signing_keys import StoredKey
from api.services.audit import record
from domain.errors import CallerError, ConflictError
from runtime.encryption import Sealer
from runtime.ids import new_id, now
from runtime.keys import RS256, key_id, new_private_key, private_pem, public_pem, read_private, read_public
from runtime.tokens import MAX_TTL
from storage.engine import Sessions, transaction
from storage.models import SigningKey
from storage.repositories.signing_keys import SigningKeyRepository
from storage.sealed import signing_key_context

# How long others may cache our JWK set: after that they know the next key.
PUBLISHED_FOR: Final = timedelta(minutes=5)
# A retired key verifies until the last token that it may have signed has expired.
KEPT_FOR: Final = MAX_TTL


class State(StrEnum):
    """The states of a signing key, in order."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True)
class Rotation:
    """The result of a rotation. `wait`: nothing changed yet; seconds until the published next key can become active."""

    active: str
    upcoming: str
    wait: timedelta = timedelta(0)


class KeyStore:
    """Loads the keys, creates the first one, rotates them."""

    def __init__(self, sessions: Sessions, sealer: Sealer) -> None:
        self._sessions = sessions
        self._sealer = sealer
        self._opened: dict[str, RSAPrivateKey] = {}

    async def load(self, first: RSAPrivateKey | None) -> Sequence[StoredKey]:
        """All keys in use. If there are none, `first` (or, with None, a new one) becomes the active one."""
        async with transaction(self._sessions) as session:
            keys = SigningKeyRepository(session)
            rows = await keys.all()
            if not rows:
                await keys.hold()
                rows = await keys.all() or [await self._add(keys, first or new_private_key(), State.ACTIVE)]
        return [self._stored(row) for row in rows if _counts(row, now())]

    async def all(self) -> Sequence[SigningKey]:
        """Every key, including those no longer used to verify."""
        async with transaction(self._sessions) as session:
            return await SigningKeyRepository(session).all()

    async def rotate(self, *, at_once: bool = False) -> Rotation:
        """Activate the next key and publish another one. The first time, only publish one.

        Args:
            at_once: do not wait until others have fetched the next key; their first verifications may fail.

        Raises:
            ConflictError: there are no keys yet.
        """
        async with transaction(self._sessions) as session:
            keys = SigningKeyRepository(session)
            await keys.hold()
            upcoming = await _find(keys, State.NEXT) or await self._add(keys, new_private_key(), State.NEXT)
            active = await _find(keys, State.ACTIVE)
            if active is None:
                raise ConflictError("there are no signing keys yet; start the API once, it makes the first one")
            wait = upcoming.created_at + PUBLISHED_FOR - now()
            if wait > timedelta(0) and not at_once:
                await _note(session, "published", upcoming)
                await keys.tell()
                return Rotation(active.kid, upcoming.kid, wait)
            await _switch(session, active, upcoming)
            after = await self._add(keys, new_private_key(), State.NEXT)
            await _note(session, "rotated", upcoming, before=active.kid, at_once=at_once)
            await keys.tell()
        return Rotation(upcoming.kid, after.kid)

    async def drop(self, kid: str) -> None:
        """Revoke a retired key at once, because it leaked.

        Raises:
            CallerError: there is no such key, or it is not retired.
        """
        async with transaction(self._sessions) as session:
            keys = SigningKeyRepository(session)
            await keys.hold()
            found = next((row for row in await keys.all() if row.kid == kid), None)
            if found is None or found.state != State.RETIRED:
                raise CallerError(f"{kid[:64]} is no retired key; rotate first: `rotate --now`")
            await keys.remove(found)
            await _note(session, "dropped", found)
            await keys.tell()

    async def _add(self, keys: SigningKeyRepository, key: RSAPrivateKey, state: State) -> SigningKey:
        public = key.public_key()
        kid = key_id(public)
        row = SigningKey(
            id=new_id(),
            kid=kid,
            algorithm=RS256,
            state=state,
            public_key=public_pem(public),
            private_key=self._sealer.seal(private_pem(key), signing_key_context(kid)),
            created_at=now(),
            activated_at=now() if state is State.ACTIVE else None,
        )
        await keys.add(row)
        return row

    def _stored(self, row: SigningKey) -> StoredKey:
        private = self._open(row) if row.state == State.ACTIVE else None
        return StoredKey(row.kid, row.state, read_public(row.public_key), private)

    def _open(self, row: SigningKey) -> RSAPrivateKey:
        if row.kid not in self._opened:
            self._opened = {row.kid: read_private(self._sealer.open(row.private_key, signing_key_context(row.kid)))}
        return self._opened[row.kid]


async def _note(session: AsyncSession, verb: str, row: SigningKey, **details: Any) -> None:
    action = f"signing_key.{verb}"
    await record(session, action, resource_type="signing_key", resource_id=row.id, kid=row.kid, **details)


async def _find(keys: SigningKeyRepository, state: State) -> SigningKey | None:
    return next((row for row in await keys.all() if row.state == state), None)


async def _switch(session: AsyncSession, active: SigningKey, upcoming: SigningKey) -> None:
    active.state, active.retired_at = State.RETIRED, now()
    await session.flush()  # first, since only one key may be active at any moment
    upcoming.state, upcoming.activated_at = State.ACTIVE, now()
    await session.flush()


def _counts(row: SigningKey, at: datetime) -> bool:
    return row.retired_at is None or at < row.retired_at + KEPT_FOR
