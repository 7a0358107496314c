"""Whether a build may be deployed by what is signed about it."""

from collections.abc import Collection

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import shown
from domain.build_documents import DocumentKind
from domain.errors import ErrorCode, TerminalError
from domain.provenance import Expected, Policy, Statement, fault_of, is_same_place, read_statement
from runtime.dsse import IN_TOTO, MAX_ENVELOPE, EnvelopeError, read_envelope
from storage.attestation_keys import AttestationKeys
from storage.models import Build
from storage.repositories.audit import AuditRepository
from storage.repositories.build_documents import BuildDocumentRepository
from storage.tenancy import PLATFORM

log = structlog.get_logger(__name__)

_BEFORE = "it was made before provenance was kept here, so nothing proves what it was made of"


class _UnprovenError(Exception):
    """The message is the second half of a sentence about a provenance."""


class ProvenanceGuard:
    """Looks at signature, artifact, source, builder and policy, before anything of a build is started.

    Args:
        keys: whose signatures are believed.
        policy: what happens to a build that has no good provenance.
        builders: ids of this engine, also former ones.
    """

    def __init__(self, keys: AttestationKeys, policy: Policy, builders: Collection[str]) -> None:
        self._keys = keys
        self._policy = policy
        self._builders = builders

    async def check(
        self, session: AsyncSession, build: Build, artifact_digest: str, *, repository: str | None
    ) -> str | None:
        """Let a build pass, or not.

        Args:
            session: of the caller's transaction.
            build: that is to be started.
            artifact_digest: of what would be unpacked.
            repository: the project's now; None: it may have been another one, a release of before is brought back.

        Returns:
            What people must know; None: all is well.

        Raises:
            TerminalError: PROVENANCE_INVALID; the message says what does not hold and what to do.
            DependencyError: a key does not open with the encryption keys of the settings.
        """
        if self._policy is Policy.OFF:
            return None
        if build.attested_digest is None and build.before_provenance and self._policy is not Policy.ALWAYS:
            return f"build {build.build_number} ({build.version_tag}): {_BEFORE}"
        try:
            statement = await self._statement(session, build, artifact_digest)
            former = await _former(session, build, statement, repository)
            _compare(statement, _expected(build, artifact_digest, former or repository, self._builders))
        except (EnvelopeError, _UnprovenError) as found:
            return self._refuse(build, str(found))
        if former is None:
            return None
        return (
            f"build {build.build_number} ({build.version_tag}) was made of {former[:200]}, which was the project's "
            f"repository before it was changed to {str(repository)[:200]}"
        )

    def _refuse(self, build: Build, fault: str) -> str:
        """By the policy: the notice, or `TerminalError`."""
        log.warning("provenance.invalid", build_id=str(build.id), fault=fault, policy=self._policy)
        words = f"the provenance of build {build.build_number} ({build.version_tag}) {fault}"
        if self._policy is Policy.WARN:
            return f"{words}; it is deployed all the same (DELIVERY_REQUIRE_PROVENANCE=warn)"
        raise TerminalError(
            f"{words}. It is not started; build the version again under a new version_tag, and ask whoever operates "
            "the engine if you did not expect this",
            code=ErrorCode.PROVENANCE_INVALID,
            details={"build_id": str(build.id), "fault": fault},
        )

    async def _statement(self, session: AsyncSession, build: Build, artifact_digest: str) -> Statement:
        """What a key of ours signed about the build; raises `EnvelopeError` or `_UnprovenError`."""
        if build.attested_digest is None:
            raise _UnprovenError("was never signed")
        if artifact_digest != build.artifact_digest:
            raise _UnprovenError(f"is not about {artifact_digest[:80]}: the record has {build.artifact_digest}")
        text = await BuildDocumentRepository(session).get(build.id, DocumentKind.PROVENANCE, limit=MAX_ENVELOPE)
        if text is None:
            raise _UnprovenError("is missing, though it was signed")
        payload = await self._believed(session, text)
        try:
            return read_statement(payload)
        except ValueError as error:
            raise _UnprovenError(str(error)) from error

    async def _believed(self, session: AsyncSession, text: bytes) -> bytes:
        """The payload of an envelope that a key of ours signed; raises `EnvelopeError`."""
        envelope = read_envelope(text)
        if envelope.payload_type != IN_TOTO:
            raise EnvelopeError(f"is of type {envelope.payload_type[:100]!r}, not {IN_TOTO}")
        key = await self._keys.find(session, envelope.key_id)
        if key.public is None:
            raise EnvelopeError(key.fault)
        if not envelope.is_signed_by(key.public):
            raise EnvelopeError("was changed after it was signed: its signature does not fit")
        return envelope.payload


async def _former(session: AsyncSession, build: Build, statement: Statement, repository: str | None) -> str | None:
    """The statement's repository if the project had that address before its present one, by the audit log.

    That log is append-only and written with the change. It has no names of users in addresses.
    """
    if repository is None or is_same_place(statement.repository, repository):
        return None
    before = await AuditRepository(session, PLATFORM).former(build.project_id, "project.updated", "repository_url")
    wanted = str(shown(statement.repository))
    return statement.repository if any(is_same_place(wanted, each) for each in before) else None


def _compare(statement: Statement, expected: Expected) -> None:
    if fault := fault_of(statement, expected):
        raise _UnprovenError(fault)


def _expected(build: Build, digest: str, repository: str | None, builders: Collection[str]) -> Expected:
    return Expected(
        organization_id=build.organization_id,
        project_id=build.project_id,
        build_id=build.id,
        version_tag=build.version_tag,
        digest=digest,
        commit=build.git_commit_hash,
        repository=repository,
        builders=builders,
    )
