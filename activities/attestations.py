"""Attest: what an artifact is made of (its SBOM) and how it was made (its provenance), signed.

On a control worker, which runs no tenant's code: build steps never come near the key.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from activities.build_records import check_reported
from activities.failures import translate_errors
from contracts.builds import ATTEST_BUILD, AttestBuild, Attested
from contracts.stubs import implements
from domain.build_documents import MAX_DOCUMENT, DocumentKind
from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.findings import Package, ScanResult
from domain.provenance import Document, Made, statement_of
from domain.sbom.cyclonedx import cyclonedx
from domain.sbom.parts import Part, Subject, parts_of
from domain.sbom.spdx import spdx
from runtime.dsse import IN_TOTO, signed
from runtime.ids import now
from runtime.version import RELEASE
from storage.attestation_keys import AttestationKeys
from storage.engine import Sessions, transaction
from storage.models import Build
from storage.repositories.build_documents import BuildDocumentRepository
from storage.repositories.build_records import BuildRecordRepository

_MEDIA: Final = {
    DocumentKind.CYCLONEDX: "application/vnd.cyclonedx+json",
    DocumentKind.SPDX: "application/spdx+json",
    DocumentKind.SCAN: "application/json",
}
_NAMES: Final = {
    DocumentKind.CYCLONEDX: "sbom.cdx.json",
    DocumentKind.SPDX: "sbom.spdx.json",
    DocumentKind.SCAN: "scan.json",
}
_MAX_NOTICES = 20
# What an activity of sixteen seconds lists on a busy machine: 40,000 take three of processor time.
MAX_PARTS = 40_000


@dataclass(frozen=True)
class _Basis:
    """What is read before anything is made. `scan`: the text of the scan's document; None: there is none."""

    build: Build
    project: str
    scan: bytes | None


@dataclass(frozen=True)
class _Sboms:
    """Both texts of one list."""

    cyclonedx: bytes
    spdx: bytes
    packages: int
    known: bool


class AttestationActivities:
    """Makes SBOM and provenance of builds, and signs.

    Args:
        sessions: of the database.
        keys: what signs.
        builder_id: whom the provenance names as the builder, a URI.
    """

    def __init__(self, sessions: Sessions, keys: AttestationKeys, builder_id: str) -> None:
        self._sessions = sessions
        self._keys = keys
        self._builder_id = builder_id

    @implements(ATTEST_BUILD)
    @translate_errors
    async def attest(self, request: AttestBuild) -> Attested:
        """Once for each artifact: who asks again gets what was signed before.

        Raises:
            TerminalError: see `check_reported`.
        """
        async with transaction(self._sessions) as session:
            build = await _locked(session, request)
            if ended := await _done(session, build, request):
                return ended
            if request.build_id is not None:
                check_reported(build, request.source.spec)
            project = (await BuildRecordRepository(session).project_of(build)).slug
            scan = await BuildDocumentRepository(session).get(build.id, DocumentKind.SCAN)
        basis = _Basis(build, project, scan)
        sboms = await asyncio.to_thread(_sboms, basis, request)
        async with transaction(self._sessions) as session:
            build = await _locked(session, request)
            return await _done(session, build, request) or await self._write(session, basis, sboms, request)

    async def _write(self, session: AsyncSession, basis: _Basis, sboms: _Sboms, request: AttestBuild) -> Attested:
        """SBOM, envelope and the mark on the build's row stand together, or not at all."""
        build, documents = basis.build, BuildDocumentRepository(session)
        texts = {DocumentKind.CYCLONEDX: sboms.cyclonedx, DocumentKind.SPDX: sboms.spdx}
        kept = [
            _document(kind, await documents.put(build.id, build.organization_id, kind, text))
            for kind, text in texts.items()
        ]
        scanned = await documents.stored(build.id, DocumentKind.SCAN, known=lambda _: True)
        if scanned is not None:
            kept.append(_document(DocumentKind.SCAN, scanned[0], request))
        key = await self._keys.signing(session)
        envelope = signed(self._statement(basis, request, kept), IN_TOTO, key.private, key.kid)
        digest = await documents.put(build.id, build.organization_id, DocumentKind.PROVENANCE, envelope)
        await BuildRecordRepository(session).mark_attested(build.id, request.artifact.digest)
        if request.build_id is not None:
            await BuildRecordRepository(session).keep_artifact(build.id, artifact_values(request))
        words = f"its SBOM has {sboms.packages} packages" if sboms.known else "its packages are not known"
        return Attested(digest=digest, detail=f"signed with key {key.kid}; {words}")

    def _statement(self, basis: _Basis, request: AttestBuild, kept: Sequence[Document]) -> bytes:
        build, source, tests = basis.build, request.source, request.tests
        made = Made(
            organization_id=build.organization_id,
            project_id=build.project_id,
            build_id=build.id,
            operation_id=request.operation_id,
            name=basis.project,
            version_tag=build.version_tag,
            digest=request.artifact.digest,
            repository=request.repository_url,
            branch=source.branch,
            commit=source.commit,
            source_path=source.spec.source.path if source.folder is None else source.folder,
            spec=source.spec.model_dump(mode="json"),
            builder_id=self._builder_id,
            builder_version=RELEASE,
            isolated=request.artifact.isolated,
            started_at=build.started_at,
            finished_at=now(),
            documents=kept,
            tests=None if tests is None else tests.model_dump(mode="json", exclude_none=True),
        )
        return statement_of(made)


def artifact_values(request: AttestBuild) -> dict[str, object]:
    """What the row of a build made elsewhere gets when its artifact is made here."""
    return {
        "artifact_digest": request.artifact.digest,
        "artifact_size_bytes": request.artifact.size_bytes,
        "committed_at": request.artifact.committed_at,
        "spec": request.source.spec.model_dump(mode="json"),
    }


async def _locked(session: AsyncSession, request: AttestBuild) -> Build:
    """The build's row, which nobody else changes until the transaction ends.

    Raises:
        ConflictError: VERSION_TAG_TAKEN, it has none, since another build has its version.
        ForbiddenError: it is another project's.
    """
    builds = BuildRecordRepository(session)
    build = await builds.hold(request.build_id or await _build_of(session, request))
    if (build.organization_id, build.project_id) != (request.organization_id, request.project_id):
        raise ForbiddenError(f"build {build.id} is another project's")
    return build


async def _build_of(session: AsyncSession, request: AttestBuild) -> UUID:
    documents, builds = BuildDocumentRepository(session), BuildRecordRepository(session)
    found = await documents.build_of(request.operation_id)
    if found is None:  # another build had the version when this one began; it may have failed since
        await builds.begin(request.operation_id, commit=request.source.commit, branch=request.source.branch)
        found = await documents.build_of(request.operation_id)
    if found is None:
        raise ConflictError(
            "another build of this project has this version; choose another version_tag",
            code=ErrorCode.VERSION_TAG_TAKEN,
        )
    return found


async def _done(session: AsyncSession, build: Build, request: AttestBuild) -> Attested | None:
    """What there is to say if it was done before; None: it is to be done."""
    digest = request.artifact.digest
    if request.build_id is not None and build.artifact_digest not in (None, digest):
        return Attested(skipped="another deployment made the artifact of this build first; that one is delivered")
    if build.attested_digest != digest:
        return None
    found = await BuildDocumentRepository(session).stored(build.id, DocumentKind.PROVENANCE, known=lambda _: True)
    return Attested(digest=found[0], detail="signed before") if found else None


def _document(kind: DocumentKind, digest: str, request: AttestBuild | None = None) -> Document:
    scan = request.scan if request else None
    facts = scan.model_dump(mode="json", include={"status", "critical", "high", "medium", "low"}) if scan else None
    return Document(_NAMES[kind], _MEDIA[kind], digest, facts)


def _sboms(basis: _Basis, request: AttestBuild) -> _Sboms:
    """In a thread: an SBOM of thousands of packages takes a second."""
    build = basis.build
    packages, unknown, notices = _packages(basis.scan, request)
    subject = Subject(
        build_id=build.id,
        name=basis.project,
        version=build.version_tag,
        digest=request.artifact.digest,
        repository=request.repository_url,
        commit=request.source.commit,
        made_at=build.started_at or build.created_at,
        engine_version=RELEASE,
        unknown=unknown,
        notices=notices,
    )
    parts = parts_of(packages)
    cyclonedx_text, spdx_text = _texts(subject, parts)
    return _Sboms(cyclonedx_text, spdx_text, len(parts), known=unknown is None)


def _texts(subject: Subject, parts: Sequence[Part]) -> tuple[bytes, bytes]:
    """In both formats: of as many parts as can be kept, which is told, rather than that nothing can be delivered."""
    listed = min(len(parts), MAX_PARTS)
    while True:
        told = subject
        if listed < len(parts):
            notice = f"only {listed} of its {len(parts)} packages are listed: an SBOM has at most {MAX_PARTS}"
            told = replace(subject, notices=(f"{notice} and {MAX_DOCUMENT} bytes", *subject.notices))
        texts = cyclonedx(told, parts[:listed]), spdx(told, parts[:listed])
        if max(map(len, texts)) <= MAX_DOCUMENT:
            return texts
        listed //= 2


def _packages(scan: bytes | None, request: AttestBuild) -> tuple[Sequence[Package], str | None, tuple[str, ...]]:
    """The packages that the scan found, or why they are not known; and what it could not look at."""
    if scan is None:
        why = request.scan.skipped if request.scan and request.scan.skipped else "nothing was scanned"
        return (), f"the packages in it are not known: {why}", ()
    try:
        result = ScanResult.model_validate_json(scan)
    except ValidationError:
        return (), "the packages in it are not known: the scan's result cannot be read", ()
    faults = tuple(f"{run.tool} has no result: {run.fault}" for run in result.tools if run.fault)
    unknown = None if result.packages else "the packages in it are not known: the scan read no lock file"
    return result.packages, unknown, (*faults, *result.notices)[:_MAX_NOTICES]
