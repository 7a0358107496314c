"""The revocations known to this process: a few sets in memory, checked with every token."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.models import Revocation

_MS = 1000
_TIMESTAMP_SHIFT = 80  # RFC 9562, 5.7: the first 48 bits of a UUIDv7 are milliseconds since 1970
_VERSION = 7


@dataclass(frozen=True)
class Traits:
    """The properties of a token that can be revoked.

    Attributes:
        issued_s: seconds since 1970, more precise than `iat` if the token's id allows it.
    """

    token: str
    family: str
    subject: str
    organization_id: UUID | None
    issued_s: float
    client: str = ""


class Refused:
    """The revocations in force."""

    def __init__(self) -> None:
        self._tokens: frozenset[str] = frozenset()
        self._families: frozenset[str] = frozenset()
        self._subjects: Mapping[str, list[tuple[UUID | None, float]]] = {}
        self._clients: Mapping[str, float] = {}

    def replace(self, revocations: Iterable[Revocation]) -> None:
        """Replace all revocations in force by these."""
        tokens: set[str] = set()
        families: set[str] = set()
        subjects: dict[str, list[tuple[UUID | None, float]]] = defaultdict(list)
        clients: dict[str, float] = {}
        for row in revocations:
            if row.kind == "subject":
                subjects[row.value].append((row.organization_id, _seconds(row.issued_before)))
            elif row.kind == "client":
                clients[row.value] = max(clients.get(row.value, 0.0), _seconds(row.issued_before))
            else:
                (tokens if row.kind == "token" else families).add(row.value)
        self._tokens, self._families, self._subjects = frozenset(tokens), frozenset(families), dict(subjects)
        self._clients = clients

    def holds(self, token: Traits) -> bool:
        """Whether a token is revoked."""
        if token.token in self._tokens or token.family in self._families:
            return True
        if token.issued_s < self._clients.get(token.client, 0.0):
            return True
        return any(
            organization_id in (None, token.organization_id) and token.issued_s < before
            for organization_id, before in self._subjects.get(token.subject, ())
        )


def issued_s(token_id: str, iat: float) -> float:
    """When a token was issued: to the millisecond if its id is a UUIDv7 of that second, else its `iat`.

    A login right after a revocation gets a token of the same second, which must be valid.
    """
    try:
        parsed = UUID(token_id)
    except ValueError:
        return iat
    precise = (parsed.int >> _TIMESTAMP_SHIFT) / _MS
    return precise if parsed.version == _VERSION and int(precise) == int(iat) else iat


def _seconds(moment: datetime | None) -> float:
    return float("inf") if moment is None else moment.timestamp()
