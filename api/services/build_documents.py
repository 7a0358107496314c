"""Documents kept with builds, as clients read them: SBOM, provenance, what scanners said."""

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.build_documents import DocumentKind
from domain.errors import NotFoundError
from domain.lifecycle import BuildStatus
from storage.engine import Sessions, transaction
from storage.models import Build
from storage.repositories.build_documents import BuildDocumentRepository
from storage.repositories.builds import BuildRepository
from storage.tenancy import Tenant

_NAMES: Final = {
    DocumentKind.SCAN: "scan result",
    DocumentKind.SARIF: "scan report",
    DocumentKind.CYCLONEDX: "SBOM",
    DocumentKind.SPDX: "SBOM",
    DocumentKind.PROVENANCE: "provenance",
}


@dataclass(frozen=True)
class FoundDocument:
    """A document; `text` is None for who has this very one already. `build`: whose it is."""

    build: Build
    digest: str
    text: bytes | None


async def find_document(
    sessions: Sessions, tenant: Tenant, build_id: UUID, kind: DocumentKind, *, known: Callable[[str], bool]
) -> FoundDocument:
    """A build's document of this kind.

    Args:
        sessions: of the database.
        tenant: whose builds are looked at.
        build_id: of the build.
        kind: which of its documents.
        known: whether the caller has the document with this digest already.

    Raises:
        NotFoundError: no such build for this tenant, or it has no such document; the message says why.
    """
    async with transaction(sessions) as session:
        build = await BuildRepository(session, tenant).get(build_id)
        documents = BuildDocumentRepository(session)
        found = await documents.stored(build.id, kind, known=known)
    if found is None:
        raise NotFoundError(f"build {build_id} has no {_NAMES[kind]}: {_why(build, kind)}")
    digest, packed = found
    return FoundDocument(build, digest, None if packed is None else await asyncio.to_thread(zlib.decompress, packed))


def _why(build: Build, kind: DocumentKind) -> str:
    if kind in {DocumentKind.SCAN, DocumentKind.SARIF}:
        return "no scanner has looked at it, or not yet"
    if build.status == BuildStatus.RUNNING:
        return "it is under way, and what it makes is described at its end"
    if build.status != BuildStatus.SUCCESS:
        return f"it is {build.status}, so nothing was made that could be described"
    if build.artifact_digest is None:
        return "it was made elsewhere, and its artifact is made here when it is first deployed"
    return "it was made before such documents were kept; build the version again to have one"
