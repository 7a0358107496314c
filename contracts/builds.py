"""The build side: workspace, source, build, test, package, record."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from contracts.payload import BoundedText, Nothing, Payload
from contracts.policies import BUILD, BUILD_SLOT, CLEAN_UP, FETCH, MUST_HAPPEN, SHORT
from contracts.stubs import ActivityStub
from domain.delivery_spec import BuildSpec, DeliverySpec, ScanSpec, TestSpec
from domain.lifecycle import ScanStatus


class OpenWorkspace(Payload):
    """Wait for a build slot and create an operation's workspace, on whichever build worker picks this up."""

    operation_id: UUID
    organization_id: UUID | None = None  # slots are dealt round-robin between organizations; None: older workflows
    project_id: UUID | None = None  # None: as above


class Workspace(Payload):
    """`queue`: the task queue of the workers that can access this workspace."""

    operation_id: UUID
    queue: str


class FetchSource(Payload):
    """Fetch a commit into the workspace and read its delivery spec."""

    operation_id: UUID
    repository_url: str
    git_branch: str | None = None
    git_commit_hash: str | None = None
    project_id: UUID | None = None  # whose secrets authenticate to the repository; None: inputs of older workflows
    source_path: str = "."  # the project's folder in the repository, which contains its delivery.yaml


class FetchedSource(Payload):
    """The commit, the branch it was resolved from, and the repository's delivery spec.

    `folder`: of the service, relative to the repository's root; None (an older activity): `spec.source.path`. `notice`:
    shown to people, such as the process types that run beside the service.
    """

    commit: str
    branch: str
    size_bytes: int
    spec: DeliverySpec
    folder: str | None = None
    notice: BoundedText | None = None


class RunBuild(Payload):
    """Run the build steps in the workspace."""

    operation_id: UUID
    source_path: str
    spec: BuildSpec


class BuildOutcome(Payload):
    """The build succeeded."""

    duration_ms: int
    steps_run: int


class RunTests(Payload):
    """Run the test command in the workspace and parse its reports."""

    operation_id: UUID
    source_path: str
    spec: TestSpec


class TestOutcome(Payload):
    """The tests passed, but for failures that are allowed; counts are None when there was no report.

    `detail`: what people must know of the reports.
    """

    __test__ = False  # tells pytest that this is not a test class

    duration_ms: int
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    coverage_percent: float | None = Field(default=None, ge=0, le=100)
    detail: BoundedText | None = None


class RunScan(Payload):
    """Scan the workspace after its build. `build_id`: of a build made elsewhere; None: the operation's own."""

    operation_id: UUID
    organization_id: UUID
    project_id: UUID
    source_path: str
    spec: ScanSpec
    build_id: UUID | None = None


class ScanOutcome(Payload):
    """What the scanners found, as counts: the findings are in the database. `skipped`: why nothing was scanned."""

    status: ScanStatus | None = None
    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    unknown: int = 0
    detail: BoundedText | None = None
    skipped: BoundedText | None = None


class PackageArtifact(Payload):
    """Store a folder of the workspace as an artifact."""

    operation_id: UUID
    source_path: str
    output_path: str


class PackagedArtifact(Payload):
    """A stored artifact: `digest` is `sha256:<hex>`. `committed_at`: the commit's own committer date.

    `isolated`: whether its build ran in a sandbox; None: an older worker does not say.
    """

    digest: str
    size_bytes: int
    file_count: int
    committed_at: datetime | None = None
    isolated: bool | None = None


class AttestBuild(Payload):
    """Make and sign the provenance of an artifact, and its SBOM. `build_id` as in `RunScan`."""

    operation_id: UUID
    organization_id: UUID
    project_id: UUID
    repository_url: str
    source: FetchedSource
    artifact: PackagedArtifact
    scan: ScanOutcome | None = None
    tests: TestOutcome | None = None
    build_id: UUID | None = None


class Attested(Payload):
    """`digest`: `sha256:<hex>` of the signed envelope. `skipped`: why there is none."""

    digest: str | None = None
    detail: BoundedText | None = None
    skipped: BoundedText | None = None


class RecordBuild(Payload):
    """Insert the build's row: one per operation, however often this is called."""

    operation_id: UUID
    organization_id: UUID
    project_id: UUID
    feature_id: UUID
    deployment_id: UUID
    version_tag: str
    commit: str
    branch: str
    spec: DeliverySpec
    artifact: PackagedArtifact
    tests: TestOutcome | None = None
    scan_status: str | None = None


class RecordedBuild(Payload):
    """The build's id and its number in the project."""

    build_id: UUID
    build_number: int


class RecordBuildFailure(Payload):
    """Insert the row of a failed build, so that its logs can be read by build id."""

    operation_id: UUID
    organization_id: UUID
    project_id: UUID
    feature_id: UUID
    deployment_id: UUID
    version_tag: str
    commit: str
    branch: str
    message: BoundedText


class LoadBuild(Payload):
    """Load a build that is to be deployed."""

    build_id: UUID


class LoadedBuild(Payload):
    """What a rollout needs to know about a build."""

    build_id: UUID
    artifact_digest: str
    spec: DeliverySpec


class FoundArtifact(Payload):
    """The build if its artifact is stored here; None: an external build whose artifact has not been built here yet."""

    build: LoadedBuild | None = None


class KeepArtifact(Payload):
    """Write the artifact of an external build into its row. An artifact that is there already stays."""

    build_id: UUID
    artifact: PackagedArtifact
    spec: DeliverySpec


class CloseWorkspace(Payload):
    """Remove the workspace; its logs stay."""

    operation_id: UUID


OPEN_WORKSPACE = ActivityStub("workspace.open", OpenWorkspace, Workspace, BUILD_SLOT)
CLOSE_WORKSPACE = ActivityStub("workspace.close", CloseWorkspace, Nothing, CLEAN_UP)
FETCH_SOURCE = ActivityStub("source.fetch", FetchSource, FetchedSource, FETCH)
RUN_BUILD = ActivityStub("build.run", RunBuild, BuildOutcome, BUILD)
RUN_TESTS = ActivityStub("test.run", RunTests, TestOutcome, BUILD)
RUN_SCAN = ActivityStub("scan.run", RunScan, ScanOutcome, BUILD)
PACKAGE_ARTIFACT = ActivityStub("artifact.package", PackageArtifact, PackagedArtifact, BUILD)
ATTEST_BUILD = ActivityStub("builds.attest", AttestBuild, Attested, SHORT)
RECORD_BUILD = ActivityStub("builds.record", RecordBuild, RecordedBuild, SHORT)
RECORD_BUILD_FAILURE = ActivityStub("builds.record_failure", RecordBuildFailure, RecordedBuild, MUST_HAPPEN)
LOAD_BUILD = ActivityStub("builds.load", LoadBuild, LoadedBuild, SHORT)
FIND_ARTIFACT = ActivityStub("builds.find_artifact", LoadBuild, FoundArtifact, SHORT)
KEEP_ARTIFACT = ActivityStub("builds.keep_artifact", KeepArtifact, LoadedBuild, SHORT)
