"""The build's row in PostgreSQL: recorded when it is made, loaded when it is deployed."""

from typing import NoReturn
from uuid import UUID

from activities.failures import translate_errors
from contracts.builds import (
    FIND_ARTIFACT,
    KEEP_ARTIFACT,
    LOAD_BUILD,
    RECORD_BUILD,
    RECORD_BUILD_FAILURE,
    FoundArtifact,
    KeepArtifact,
    LoadBuild,
    LoadedBuild,
    RecordBuild,
    RecordBuildFailure,
    RecordedBuild,
)
from contracts.stubs import implements
from domain.delivery_spec import DeliverySpec
from domain.errors import ErrorCode, TerminalError
from domain.lifecycle import BuildProvenance, BuildStatus
from domain.test_thresholds import Reported, stop_of_reported
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Build
from storage.repositories.build_records import BuildRecordRepository


class BuildRecordActivities:
    """Writes builds that this engine made, good and failed ones; reads them for a deployment."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @implements(RECORD_BUILD)
    @translate_errors
    async def record(self, request: RecordBuild) -> RecordedBuild:
        tests = request.tests
        return await self._write(
            request,
            {
                "status": BuildStatus.SUCCESS,
                "artifact_digest": request.artifact.digest,
                "artifact_size_bytes": request.artifact.size_bytes,
                "committed_at": request.artifact.committed_at,
                "spec": request.spec.model_dump(mode="json"),
                "tests_passed": tests.passed if tests else None,
                "tests_failed": tests.failed if tests else None,
                "tests_skipped": tests.skipped if tests else None,
                "code_coverage_percent": tests.coverage_percent if tests else None,
                "security_scan_status": request.scan_status,
            },
        )

    @implements(RECORD_BUILD_FAILURE)
    @translate_errors
    async def record_failure(self, request: RecordBuildFailure) -> RecordedBuild:
        """Of one that was given up on somebody's wish it is told so."""
        async with transaction(self._sessions) as session:
            unwanted = await BuildRecordRepository(session).is_unwanted(request.operation_id)
        return await self._write(request, {"status": BuildStatus.CANCELLED if unwanted else BuildStatus.FAILED})

    @implements(LOAD_BUILD)
    @translate_errors
    async def load(self, request: LoadBuild) -> LoadedBuild:
        async with transaction(self._sessions) as session:
            build = await BuildRecordRepository(session).get(request.build_id)
        return _loaded(build) or _raise_missing(build)

    @implements(FIND_ARTIFACT)
    @translate_errors
    async def find_artifact(self, request: LoadBuild) -> FoundArtifact:
        async with transaction(self._sessions) as session:
            build = await BuildRecordRepository(session).get(request.build_id)
        return FoundArtifact(build=_loaded(build))

    @implements(KEEP_ARTIFACT)
    @translate_errors
    async def keep_artifact(self, request: KeepArtifact) -> LoadedBuild:
        """The first recorded artifact is the build's; a later one is ignored, and its deployment uses the first.

        Raises:
            TerminalError: what was reported of its tests does not keep to the limits in delivery.yaml.
        """
        values = {
            "artifact_digest": request.artifact.digest,
            "artifact_size_bytes": request.artifact.size_bytes,
            "committed_at": request.artifact.committed_at,
            "spec": request.spec.model_dump(mode="json"),
        }
        async with transaction(self._sessions) as session:
            builds = BuildRecordRepository(session)
            check_reported(await builds.get(request.build_id), request.spec)
            await builds.keep_artifact(request.build_id, values)
            await builds.mark_unattested(request.build_id)
            build = await builds.get(request.build_id)
        return _loaded(build) or _raise_missing(build)

    async def _write(self, request: RecordBuild | RecordBuildFailure, values: dict[str, object]) -> RecordedBuild:
        common = {
            "organization_id": request.organization_id,
            "project_id": request.project_id,
            "feature_id": request.feature_id,
            "provenance": BuildProvenance.EXECUTED,
            "version_tag": request.version_tag,
            "git_commit_hash": request.commit,
            "git_branch": request.branch,
        }
        async with transaction(self._sessions) as session:
            builds = BuildRecordRepository(session)
            build_id: UUID = new_id()
            build = await builds.record(build_id, request.operation_id, {**common, **values})
            await builds.mark_unattested(build.id)
            await builds.link(request.deployment_id, build.id)
            return RecordedBuild(build_id=build.id, build_number=build.build_number)


def check_reported(build: Build, spec: DeliverySpec) -> None:
    """What was reported of a build that was made elsewhere keeps to the limits in delivery.yaml.

    Raises:
        TerminalError: TESTS_FAILED, COVERAGE_TOO_LOW; TEST_REPORT_INVALID, a number that a limit needs is not there.
    """
    told = Reported(build.tests_passed, build.tests_failed, build.code_coverage_percent)
    if stop := stop_of_reported(spec.test, told):
        raise TerminalError(stop.message, code=stop.code)


def _loaded(build: Build) -> LoadedBuild | None:
    """What a rollout must know; None without an artifact."""
    if build.artifact_digest is None:
        return None
    spec = DeliverySpec.model_validate(build.spec or {})
    return LoadedBuild(build_id=build.id, artifact_digest=build.artifact_digest, spec=spec)


def _raise_missing(build: Build) -> NoReturn:
    raise TerminalError(
        f"build {build.build_number} ({build.version_tag}) has no artifact; build the version again",
        code=ErrorCode.ARTIFACT_UNAVAILABLE,
        details={"build_id": str(build.id)},
    )
