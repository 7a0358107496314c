"""API keys in use, cached in this process until something changes.

Every change of keys notifies `CHANNEL` in its transaction; each process then drops its cache. A poll covers lost
notifications and changes without one (a creator who left). Each of these costs a statement; a cached key costs none.
"""

import asyncio
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.auth.principal import Principal
from api.http.errors import UnauthenticatedError
from domain.api_keys import CreatorKind, earliest, hash_key, is_well_formed, key_permissions, lower
from domain.errors import DeliveryError, DependencyError
from domain.permissions import Role
from runtime.logging import get_logger
from runtime.meter import cache_hit, cache_miss
from storage.dataloader import Batched
from storage.engine import Sessions, transaction
from storage.repositories.api_key_lookup import CheckedKey, KeyChecks

log = get_logger(__name__)

POLL_S = 0.5
LOOKUP_LIMIT_S = 3.0
# How long cached keys stay valid while the database cannot confirm them.
TRUSTED_S = 30.0
# A key unused for this long is no longer polled; its next use looks it up.
IDLE_S = 60.0
UNKNOWN_S = 10.0
MOST_UNKNOWN = 10_000


@dataclass
class _Known:
    principal: Principal
    key_hash: str
    ends_at: float
    confirmed_at: float
    used_at: float


class ApiKeyCache:
    """Caches valid keys, and those known to be invalid."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known: dict[str, _Known] = {}
        self._unknown: dict[str, float] = {}
        self._looked_up: Batched[str, CheckedKey] = Batched(self._load)
        self._changes = 0

    async def principal(self, key: str) -> Principal:
        """The principal of a key.

        Raises:
            UnauthenticatedError: the key is unknown, or no longer valid.
            DependencyError: the database does not answer.
        """
        if not is_well_formed(key):
            raise _refused("this is not an API key: it does not end as its beginning asks; was it cut off?")
        key_hash = hash_key(key)
        known = self._remembered(key_hash) or await self._look_up(key_hash)
        if known is None or not hmac.compare_digest(known.key_hash, key_hash):
            raise _refused("the API key is unknown, or was revoked")
        if known.ends_at <= time.time():
            raise _refused("the API key has expired, or was replaced by another one; use a new one")
        return known.principal

    def forget(self) -> None:
        """Drop the cache: keys have changed."""
        self._changes += 1
        self._known.clear()
        self._unknown.clear()

    async def refresh(self) -> None:
        """Check the cached keys in use against the database; drop unused ones.

        Raises:
            DependencyError: the database does not answer.
        """
        idle_since = time.monotonic() - IDLE_S
        self._known = {one: known for one, known in self._known.items() if known.used_at > idle_since}
        if not self._known:
            return
        asked, changes = list(self._known), self._changes
        found = await self._load(asked)
        if changes == self._changes:
            for key_hash in asked:
                self._remember(key_hash, found.get(key_hash))

    async def watch(self) -> None:
        """Refresh every half second, until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
            except DeliveryError as error:
                log.warning("api_keys.not_confirmed", reason=error.message)
            except Exception:
                log.exception("api_keys.not_confirmed")

    def _remembered(self, key_hash: str) -> _Known | None:
        now = time.monotonic()
        known = self._known.get(key_hash)
        if known is not None and now - known.confirmed_at < TRUSTED_S:
            known.used_at = now
            cache_hit()
            return known
        cache_miss()
        return None

    async def _look_up(self, key_hash: str) -> _Known | None:
        if self._unknown.get(key_hash, 0) > time.monotonic():
            return None
        changes = self._changes
        try:
            async with asyncio.timeout(LOOKUP_LIMIT_S):
                found = await self._looked_up.get(key_hash)
        except TimeoutError as error:
            raise DependencyError("the database does not answer; try again shortly") from error
        if changes == self._changes:
            return self._remember(key_hash, found)
        return _known(found)

    def _remember(self, key_hash: str, found: CheckedKey | None) -> _Known | None:
        known, before = _known(found), self._known.pop(key_hash, None)
        if known is None:
            self._unknown[key_hash] = time.monotonic() + UNKNOWN_S
            if len(self._unknown) > MOST_UNKNOWN:
                del self._unknown[next(iter(self._unknown))]
            return None
        if before is not None:
            known.used_at = before.used_at
        self._known[key_hash] = known
        return known

    async def _load(self, hashes: Sequence[str]) -> Mapping[str, CheckedKey]:
        async with transaction(self._sessions) as session:
            return await KeyChecks(session).by_hash(hashes)


def _known(found: CheckedKey | None) -> _Known | None:
    """The cache entry of a key; None: the key is not valid."""
    if found is None or found.creator_gone or found.key.revoked_at is not None:
        return None
    ends_at = earliest(found.key.expires_at, found.key.overlap_ends_at)
    now = time.monotonic()
    return _Known(_principal(found), found.key.key_hash, ends_at.timestamp() if ends_at else 0, now, now)


def _principal(found: CheckedKey) -> Principal:
    """The key's principal: its creator's current permissions, limited to the key's."""
    key, role = found.key, Role(found.key.role)
    role = lower(role, found.creator_role or role)
    scopes = {str(scope) for scope in key.scopes}
    if found.creator_scopes is not None:
        scopes &= found.creator_scopes
    return Principal(
        subject=key.created_by,
        organization_id=key.organization_id,
        role=role,
        permissions=key_permissions(scopes, role),
        credential=f"key:{key.id}",
        email=found.email,
        requests_per_minute=key.requests_per_minute,
        is_foreign_machine=key.creator_kind == CreatorKind.EXTERNAL_MACHINE,
    )


def _refused(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(message, token_was_given=True)
