"""The public keys that provenance is checked with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from runtime.attestation_keys import jwk, read_public
from runtime.ids import now
from storage.attestation_keys import State
from storage.engine import Sessions, transaction
from storage.models import AttestationKey
from storage.repositories.attestation_keys import AttestationKeyRepository


async def published_keys(sessions: Sessions) -> dict[str, Any]:
    """A JWK set (RFC 7517) of all keys whose signatures are believed, each as PEM, too; and which ones are not."""
    async with transaction(sessions) as session:
        rows = await AttestationKeyRepository(session).all()
    return {
        "keys": [_published(row) for row in rows if _is_believed(row)],
        "not_believed": _refused([row for row in rows if not _is_believed(row)]),
    }


def _is_believed(row: AttestationKey) -> bool:
    expired = row.verifies_until is not None and row.verifies_until <= now()
    return row.state in {State.ACTIVE, State.RETIRED} and row.revoked_at is None and not expired


def _published(row: AttestationKey) -> dict[str, Any]:
    return {
        **jwk(read_public(row.public_key)),
        "state": row.state,
        "created_at": _moment(row.created_at),
        "retired_at": _moment(row.retired_at),
        "expires_at": _moment(row.verifies_until),
        "pem": row.public_key,
    }


def _refused(rows: Sequence[AttestationKey]) -> list[dict[str, Any]]:
    return [
        {"kid": row.kid, "revoked_at": _moment(row.revoked_at), "expired_at": _moment(row.verifies_until)}
        for row in rows
    ]


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
