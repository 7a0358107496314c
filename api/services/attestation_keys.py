"""The public keys that provenance is checked with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from runtime.attestation_keys import jwk, read_public
from runtime.encryption import Sealer
from storage.attestation_keys import AttestationKeys
from storage.engine import Sessions, transaction
from storage.models import AttestationKey
from storage.repositories.attestation_keys import AttestationKeyRepository


async def published_keys(sessions: Sessions, sealer: Sealer) -> dict[str, Any]:
    """A JWK set (RFC 7517) of all keys whose signatures are believed, each as PEM, too; and which ones are not.

    By the same rules as before a release: what somebody wrote into the database is not published as ours.

    Raises:
        DependencyError: a key does not open with the encryption keys of the settings.
    """
    async with transaction(sessions) as session:
        rows = await AttestationKeyRepository(session).all()
    keys = AttestationKeys(sealer)
    refused = {row.kid for row in rows if keys.fault_of(row)}
    return {
        "keys": [_published(row) for row in rows if row.kid not in refused],
        "not_believed": _refused([row for row in rows if row.kid in refused]),
    }


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
