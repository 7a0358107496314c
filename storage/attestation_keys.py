"""The keys that sign provenance, and `python -m api.cli attestation-keys list | rotate | revoke KID`.

The first key is made with the first provenance. `rotate` lets a new one sign; the one before verifies on, with
`--old-until` up to a day. `revoke` is for one that leaked: nothing that it signed is believed any more.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import CallerError, DeliveryError, DependencyError
from runtime.attestation_keys import key_id, new_key, private_pem, public_pem, read_private, read_public
from runtime.encryption import Sealer, load_sealer
from runtime.ids import new_id, now
from runtime.settings import Settings, get_settings
from runtime.stack.database import database_url
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.models import AttestationKey, AuditEntry
from storage.repositories.attestation_keys import AttestationKeyRepository
from storage.repositories.audit import AuditRepository
from storage.sealed import attestation_key_context
from storage.tenancy import PLATFORM

_REVOKED = b"revoked"


class State(StrEnum):
    """Of a key, in the order it goes through them."""

    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class SigningKey:
    """The key that signs now."""

    kid: str
    private: EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True)
class FoundKey:
    """A key that is looked for by its id. `fault`: why it verifies nothing; the second half of a sentence."""

    public: EllipticCurvePublicKey | None
    fault: str | None = None


class AttestationKeys:
    """Reads, makes and changes them, in the caller's transaction."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._opened: dict[tuple[str, bytes], str] = {}

    async def signing(self, session: AsyncSession) -> SigningKey:
        """The key that signs, made now if there is none.

        Raises:
            DependencyError: it does not open with the encryption keys of the settings.
        """
        keys = AttestationKeyRepository(session)
        row = await keys.active()
        if row is None:
            await keys.hold()
            row = await keys.active() or await self._add(session)
        private = read_private(self._sealer.open(row.sealed_key, attestation_key_context(row.id)))
        if key_id(private.public_key()) != row.kid:
            raise DependencyError(f"attestation key {row.kid} is not what was sealed with it; rotate the keys")
        return SigningKey(row.kid, private)

    async def find(self, session: AsyncSession, kid: str) -> FoundKey:
        """The key of this id, if what it signed is to be believed.

        Raises:
            DependencyError: it does not open with the encryption keys of the settings.
        """
        row = await AttestationKeyRepository(session).find(kid)
        if row is None:
            return FoundKey(None, f"is signed with a foreign key, {kid[:64]!r}")
        fault = self.fault_of(row)
        return (
            FoundKey(None, f"is signed with key {kid}, which {fault}")
            if fault
            else FoundKey(read_public(row.public_key))
        )

    def fault_of(self, row: AttestationKey) -> str | None:
        """Why nothing is believed that this key signed, after the word "which"; None: it is.

        Raises:
            DependencyError: it does not open with the encryption keys of the settings.
        """
        if row.state == State.REVOKED or row.revoked_at is not None:
            return "was revoked"
        if row.verifies_until is not None and row.verifies_until <= now():
            return f"expired at {row.verifies_until:%Y-%m-%d %H:%M} UTC"
        return None if self._sealed_kid(row) == row.kid else "this engine did not make"

    async def rotate(self, session: AsyncSession, *, old_until: datetime | None = None) -> tuple[str | None, str]:
        """Let a new key sign; the one before verifies until then (None: without end).

        Returns:
            The ids of the key before, if there was one, and of the new one.

        Raises:
            CallerError: that moment is over, so that every build would be refused at once.
        """
        if old_until is not None and old_until <= now():
            raise CallerError(
                f"{old_until:%Y-%m-%d %H:%M} UTC is over: no build that the old key signed could be deployed any more; "
                "`rotate` with a later moment, or `revoke` the key if it leaked"
            )
        keys = AttestationKeyRepository(session)
        await keys.hold()
        old = await keys.active()
        if old is not None:
            await self._retire(session, old, old_until)
        new = await self._add(session)
        await _note(session, "rotated", new, before=old.kid if old else None)
        return old.kid if old else None, new.kid

    async def revoke(self, session: AsyncSession, kid: str) -> str | None:
        """Believe nothing any more that this key signed. If it is the one that signs, a new one takes its place.

        Returns:
            The id of that new one, if there is one.

        Raises:
            CallerError: there is no such key.
        """
        keys = AttestationKeyRepository(session)
        await keys.hold()
        row = await keys.find(kid)
        if row is None:
            raise CallerError(f"there is no attestation key {kid[:64]!r}; `attestation-keys list` names them")
        was_active = row.state == State.ACTIVE
        row.state, row.revoked_at = State.REVOKED, row.revoked_at or now()
        row.sealed_key = self._sealer.seal(_REVOKED, attestation_key_context(row.id))
        await session.flush()
        await _note(session, "revoked", row)
        return (await self._add(session)).kid if was_active else None

    async def _retire(self, session: AsyncSession, row: AttestationKey, until: datetime | None) -> None:
        """It signs no more, so its private half goes: who reads the database and the settings later cannot have it."""
        row.state, row.retired_at, row.verifies_until = State.RETIRED, now(), until
        row.sealed_key = self._sealer.seal(row.public_key.encode(), attestation_key_context(row.id))
        await session.flush()  # first this: one key is active at any moment

    async def _add(self, session: AsyncSession) -> AttestationKey:
        key, row_id = new_key(), new_id()
        public = key.public_key()
        row = AttestationKey(
            id=row_id,
            kid=key_id(public),
            state=State.ACTIVE,
            public_key=public_pem(public),
            sealed_key=self._sealer.seal(private_pem(key), attestation_key_context(row_id)),
            created_at=now(),
        )
        return await AttestationKeyRepository(session).add(row)

    def _sealed_kid(self, row: AttestationKey) -> str | None:
        """The id of the key that we sealed for this row: nobody but us can, whoever writes the database."""
        place = (row.kid, row.sealed_key)
        if place not in self._opened:
            self._opened[place] = self._open(row)
        matches = self._opened[place] == key_id(read_public(row.public_key))
        return self._opened[place] if matches else None

    def _open(self, row: AttestationKey) -> str:
        try:
            plain = self._sealer.open(row.sealed_key, attestation_key_context(row.id))
        except DependencyError:
            if self._sealer.knows(row.sealed_key):
                return ""  # changed, or moved from another row
            raise
        return _kid_of(plain) or ""


def _kid_of(pem: bytes) -> str | None:
    try:
        public = read_private(pem).public_key() if b"PRIVATE" in pem else read_public(pem.decode())
    except ValueError:
        return None
    return key_id(public)


async def _note(session: AsyncSession, verb: str, row: AttestationKey, **details: Any) -> None:
    """In the platform's audit log."""
    noun = "attestation_key"
    entry = AuditEntry(
        id=new_id(),
        actor="system",
        action=f"{noun}.{verb}",
        resource_type=noun,
        resource_id=row.id,
        details={"kid": row.kid, **details},
    )
    entry.changes = {}
    await AuditRepository(session, PLATFORM).write(entry)


async def _run(settings: Settings, chosen: argparse.Namespace) -> str:
    engine = create_engine(database_url(settings), application_name="attestation-keys", pool_size=1)
    try:
        return await _carry_out(create_sessions(engine), AttestationKeys(load_sealer(settings)), chosen)
    finally:
        await engine.dispose()


async def _carry_out(sessions: Sessions, keys: AttestationKeys, chosen: argparse.Namespace) -> str:
    async with transaction(sessions) as session:
        if chosen.command == "rotate":
            old, new = await keys.rotate(session, old_until=chosen.old_until)
            until = f" until {chosen.old_until:%Y-%m-%d %H:%M} UTC" if chosen.old_until else ""
            return f"{new} signs now\n" + (f"{old} verifies what it signed{until}\n" if old else "")
        if chosen.command == "revoke":
            new_one = await keys.revoke(session, chosen.kid)
            after = f"{new_one} signs now\n" if new_one else ""
            return f"{chosen.kid} is revoked: builds that it signed have to be built again to be deployed\n{after}"
        rows = await AttestationKeyRepository(session).all()
        return "".join(f"{_line(row)}\n" for row in rows) or "there are none yet; the first provenance makes one\n"


def _line(row: AttestationKey) -> str:
    until = f", verifies until {row.verifies_until:%Y-%m-%d %H:%M}" if row.verifies_until else ""
    return f"{row.kid}  {row.state:<8} made {row.created_at:%Y-%m-%d %H:%M:%S}{until}"


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; the exit status is for the shell."""
    parser = argparse.ArgumentParser(prog="python -m api.cli attestation-keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all keys, oldest first")
    rotate = commands.add_parser("rotate", help="let a new key sign")
    rotate.add_argument("--old-until", type=_moment, help="when the one before stops verifying: 2028-01-31; UTC")
    commands.add_parser("revoke", help="believe nothing that a key signed").add_argument("kid")
    try:
        sys.stdout.write(asyncio.run(_run(get_settings(), parser.parse_args(arguments))))
    except DeliveryError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
