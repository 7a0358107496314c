"""Stored responses for requests that are repeated with the same `Idempotency-Key`.

Responses may contain a one-time secret, and requests a password: responses are stored encrypted, requests as a keyed
hash.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode, UnprocessableError
from runtime.encryption import Sealer
from storage.models import IdempotencyKey

KEPT = timedelta(hours=48)


@dataclass(frozen=True)
class KeyedRequest:
    """A request with a key: the caller, the path and the body."""

    principal: str
    key: str
    organization_id: UUID | None
    method: str
    path: str
    body: bytes

    @property
    def text(self) -> bytes:
        """The text that identifies the request."""
        return f"{self.method}\n{self.path}\n".encode() + self.body

    @property
    def context(self) -> str:
        """The encryption context of its response."""
        return f"idempotency:{self.principal}/{self.key}"

    @property
    def lock(self) -> int:
        """The advisory lock of the key: 63 bits of a hash."""
        name = f"idempotency\n{self.principal}\n{self.key}".encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class StoredAnswer:
    """The first response."""

    status: int
    headers: dict[str, Any]
    body: bytes


class IdempotencyRepository:
    """The keys of one transaction."""

    def __init__(self, session: AsyncSession, sealer: Sealer) -> None:
        self._session = session
        self._sealer = sealer

    async def claim(self, request: KeyedRequest) -> StoredAnswer | None:
        """Take the key for this transaction; None: carry out the request and `store` the response.

        Raises:
            ConflictError, UnprocessableError: as for `kept`.
        """
        known = await self.kept(request)
        if known is None:
            await self._insert(request)
        return known

    async def kept(self, request: KeyedRequest) -> StoredAnswer | None:
        """The stored response for this request; the key is locked until the transaction ends.

        Raises:
            ConflictError: IDEMPOTENCY_IN_PROGRESS, the first request with the key is still in progress.
            ConflictError: CONFLICT, the response was encrypted with a key that was removed from the settings: the
                request was carried out, so it is not repeated.
            UnprocessableError: IDEMPOTENCY_KEY_REUSED, the key belongs to another request.
        """
        if not await self._session.scalar(select(func.pg_try_advisory_xact_lock(request.lock))):
            raise ConflictError(
                "a request with this Idempotency-Key is still being worked on; ask again in a moment",
                code=ErrorCode.IDEMPOTENCY_IN_PROGRESS,
            )
        await self._session.execute(
            delete(IdempotencyKey).where(*self._named(request), IdempotencyKey.expires_at < func.now())
        )
        known = await self._session.scalar(select(IdempotencyKey).where(*self._named(request)))
        if known is None:
            return None
        if not self._sealer.knows(known.body):
            # The hash cannot be compared either: it was made with the removed key.
            raise ConflictError(
                "a request with this Idempotency-Key was carried out, but its answer cannot be read any more: its "
                "encryption key was taken out. See what became of it, and take a new key for a new request"
            )
        if known.request_hash not in self._sealer.fingerprints(request.text, request.context):
            raise UnprocessableError(
                "this Idempotency-Key was used for another request; take a new key for a new request",
                code=ErrorCode.IDEMPOTENCY_KEY_REUSED,
            )
        return StoredAnswer(known.status, known.headers, self._sealer.open(known.body, request.context))

    async def store(self, request: KeyedRequest, answer: StoredAnswer) -> None:
        """Store (or replace) the response to a claimed request."""
        sealed = self._sealer.seal(answer.body, request.context)
        await self._session.execute(
            update(IdempotencyKey)
            .where(*self._named(request))
            .values(status=answer.status, headers=answer.headers, body=sealed)
        )

    async def _insert(self, request: KeyedRequest) -> None:
        statement = insert(IdempotencyKey).values(
            organization_id=request.organization_id,
            principal=request.principal,
            key=request.key,
            method=request.method,
            path=request.path,
            request_hash=self._sealer.fingerprints(request.text, request.context)[0],
            status=0,
            headers={},
            body=b"",
            expires_at=func.now() + KEPT,
        )
        await self._session.execute(statement)

    @staticmethod
    def _named(request: KeyedRequest) -> tuple[Any, Any]:
        return IdempotencyKey.principal == request.principal, IdempotencyKey.key == request.key
