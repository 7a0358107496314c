"""Documents kept with builds: one of each kind, the newest."""

import asyncio
import hashlib
import zlib
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.build_documents import MAX_DOCUMENT, DocumentKind
from domain.errors import ErrorCode, TerminalError
from storage.models import Build, BuildDocument

_SMALL = 64 * 1024


class BuildDocumentRepository:
    """Reads and writes them; readers have checked whose the build is."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def build_of(self, operation_id: UUID) -> UUID | None:
        """The build that an operation makes; None: it has no row yet."""
        return await self._session.scalar(select(Build.id).where(Build.operation_id == operation_id))

    async def put(self, build_id: UUID, organization_id: UUID, kind: DocumentKind, text: bytes) -> str:
        """Keep a document in place of an earlier one of its kind.

        Returns:
            Its digest, `sha256:<hex>`.

        Raises:
            TerminalError: PAYLOAD_TOO_LARGE.
        """
        if len(text) > MAX_DOCUMENT:
            raise TerminalError(
                f"the {kind} document of the build is {len(text)} bytes; at most {MAX_DOCUMENT} are kept",
                code=ErrorCode.PAYLOAD_TOO_LARGE,
            )
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        values = {
            "organization_id": organization_id,
            "digest": digest,
            "size_bytes": len(text),
            # A large one takes as long as many short requests.
            "content": zlib.compress(text) if len(text) < _SMALL else await asyncio.to_thread(zlib.compress, text),
        }
        statement = insert(BuildDocument).values(build_id=build_id, kind=kind, **values)
        await self._session.execute(statement.on_conflict_do_update(index_elements=["build_id", "kind"], set_=values))
        return digest

    async def stored(
        self, build_id: UUID, kind: DocumentKind, *, known: Callable[[str], bool]
    ) -> tuple[str, bytes | None] | None:
        """The digest of a document and its compressed text, which is not read if the digest is `known`; None: none."""
        here = (BuildDocument.build_id == build_id, BuildDocument.kind == kind)
        digest = await self._session.scalar(select(BuildDocument.digest).where(*here))
        if digest is None or known(digest):
            return None if digest is None else (digest, None)
        row = (await self._session.execute(select(BuildDocument.digest, BuildDocument.content).where(*here))).one()
        return row.digest, row.content

    async def get(self, build_id: UUID, kind: DocumentKind, *, limit: int = MAX_DOCUMENT) -> bytes | None:
        """The text of a document, its first `limit` bytes and one more; None: the build has none of this kind."""
        statement = select(BuildDocument.content).where(BuildDocument.build_id == build_id, BuildDocument.kind == kind)
        content = await self._session.scalar(statement)
        return None if content is None else await asyncio.to_thread(_unpacked, content, limit + 1)


def _unpacked(content: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, limit)
    except zlib.error:
        return b""  # damaged: it is nothing that anybody can read
