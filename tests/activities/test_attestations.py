"""Attest and the check before a release, on the real database: what is signed, and what is refused."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, select, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import attestations
from activities.attestations import AttestationActivities
from activities.build_records import BuildRecordActivities
from activities.provenance import ProvenanceGuard
from activities.releases import ReleaseActivities
from api.services import audited_writes
from contracts.builds import (
    AttestBuild,
    Attested,
    FetchedSource,
    KeepArtifact,
    PackagedArtifact,
    RecordBuild,
    ScanOutcome,
    TestOutcome,
)
from contracts.rollouts import OpenedRelease, OpenRelease, ReopenRelease
from domain.build_documents import DocumentKind
from domain.delivery_spec import DeliverySpec, ServiceSpec
from domain.delivery_spec import TestSpec as DeliveryTests
from domain.findings import Ecosystem, Package, ScanResult, ToolRun
from domain.lifecycle import ReleaseState, ScanStatus
from domain.provenance import Policy
from runtime import dsse
from runtime.attestation_keys import key_id, new_key, public_pem
from runtime.encryption import Sealer
from runtime.ids import new_id, now
from storage.attestation_keys import AttestationKeys
from storage.engine import Sessions, transaction
from storage.models import AttestationKey, Build, BuildDocument, Deployment, Feature, Operation, Project, Release
from storage.repositories.build_documents import BuildDocumentRepository
from storage.repositories.releases import ReleaseRepository
from tests.activities.conftest import History, MakeHistory

BUILDER = "https://delivery.example.com/builder"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ARTIFACT, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SPEC = DeliverySpec(service=ServiceSpec(command="serve"))
REPOSITORY = "https://git.example.com/acme/shop.git"
SCAN = ScanResult(
    packages=(
        Package(ecosystem=Ecosystem.PYPI, name="flask", version="3.0.0", path="requirements.txt", licenses=("MIT",)),
        Package(ecosystem=Ecosystem.NPM, name="@acme/ui", version="1.2.3", path="package-lock.json", development=True),
    ),
    tools=(ToolRun(tool="hadolint", fault="it ended with 9"),),
)
SEALER = Sealer([b"k" * 32])


@dataclass(frozen=True)
class Worker:
    """What a control worker does with provenance, for one project and its environment."""

    sessions: Sessions
    place: History
    keys: AttestationKeys

    async def begin(self, version: str = "2.0.0", **values: Any) -> UUID:
        """A build that is under way; returns its operation."""
        operation_id = new_id()
        shared = {"organization_id": self.place.organization_id, "project_id": self.place.project_id}
        async with transaction(self.sessions) as session:
            await session.execute(
                update(Project).where(Project.id == self.place.project_id).values(repository_url=REPOSITORY)
            )
            feature = await session.scalar(select(Feature.id).where(Feature.project_id == self.place.project_id))
            number = len((await session.scalars(select(Build).where(Build.project_id == shared["project_id"]))).all())
            session.add(
                Build(
                    id=new_id(),
                    **shared,
                    operation_id=operation_id,
                    feature_id=feature,
                    provenance="executed",
                    build_number=number + 1,
                    version_tag=version,
                    git_commit_hash=COMMIT,
                    git_branch="main",
                    status="running",
                    started_at=now(),
                    **values,
                )
            )
        return operation_id

    async def build_of(self, operation_id: UUID) -> Build:
        async with transaction(self.sessions) as session:
            return (await session.scalars(select(Build).where(Build.operation_id == operation_id))).one()

    async def scanned(self, operation_id: UUID, result: ScanResult = SCAN) -> None:
        build = await self.build_of(operation_id)
        async with transaction(self.sessions) as session:
            text = result.model_dump_json().encode()
            await BuildDocumentRepository(session).put(build.id, build.organization_id, DocumentKind.SCAN, text)

    def order(self, operation_id: UUID, digest: str = ARTIFACT, build_id: UUID | None = None) -> AttestBuild:
        return AttestBuild(
            operation_id=operation_id,
            organization_id=self.place.organization_id,
            project_id=self.place.project_id,
            repository_url=REPOSITORY,
            source=FetchedSource(commit=COMMIT, branch="main", size_bytes=1, spec=SPEC, folder="."),
            artifact=PackagedArtifact(digest=digest, size_bytes=1, file_count=1, isolated=True),
            scan=ScanOutcome(status=ScanStatus.PASSED, high=1),
            tests=TestOutcome(duration_ms=5, passed=3, failed=0),
            build_id=build_id,
        )

    async def attest(self, order: AttestBuild) -> Attested:
        activities = AttestationActivities(self.sessions, self.keys, BUILDER)
        found: Attested = await ActivityEnvironment().run(activities.attest, order)
        return found

    async def record(self, operation_id: UUID, digest: str = ARTIFACT) -> UUID:
        build = await self.build_of(operation_id)
        request = RecordBuild(
            operation_id=operation_id,
            organization_id=build.organization_id,
            project_id=build.project_id,
            feature_id=build.feature_id,
            deployment_id=self.place.releases[0],
            version_tag=build.version_tag,
            commit=COMMIT,
            branch="main",
            spec=SPEC,
            artifact=PackagedArtifact(digest=digest, size_bytes=1, file_count=1),
        )
        return (await ActivityEnvironment().run(BuildRecordActivities(self.sessions).record, request)).build_id

    async def made(self, version: str = "2.0.0") -> UUID:
        """A build that was made, attested and recorded."""
        operation_id = await self.begin(version)
        await self.scanned(operation_id)
        await self.attest(self.order(operation_id))
        return await self.record(operation_id)

    async def open(
        self, build_id: UUID, digest: str = ARTIFACT, *, policy: Policy = Policy.ENFORCE, builders: Any = (BUILDER,)
    ) -> OpenedRelease:
        """The first thing that a rollout does."""
        deployment_id = await self._deployment(build_id)
        request = OpenRelease(
            place=self.place.place(deployment_id),
            build_id=build_id,
            artifact_digest=digest,
            service=ServiceSpec(command="serve"),
        )
        guard = ProvenanceGuard(self.keys, policy, builders)
        opened: OpenedRelease = await ActivityEnvironment().run(
            ReleaseActivities(self.sessions, None, guard).open, request
        )
        async with transaction(self.sessions) as session:
            await ReleaseRepository(session).let_go(self.place.environment_id, deployment_id)
        return opened

    async def reopen(self) -> OpenedRelease:
        """A rollback of the newest release to the one before, whose instances are gone."""
        guard = ProvenanceGuard(self.keys, Policy.ENFORCE, (BUILDER,))
        request = ReopenRelease(place=self.place.place(self.place.releases[-1]))
        opened: OpenedRelease = await ActivityEnvironment().run(
            ReleaseActivities(self.sessions, None, guard).reopen, request
        )
        return opened

    async def document(self, build_id: UUID, kind: DocumentKind = DocumentKind.PROVENANCE) -> bytes:
        async with transaction(self.sessions) as session:
            found = await BuildDocumentRepository(session).get(build_id, kind)
        assert found is not None
        return found

    async def replace(self, build_id: UUID, text: bytes) -> None:
        """Somebody who can write the database puts another envelope there."""
        async with transaction(self.sessions) as session:
            documents = BuildDocumentRepository(session)
            await documents.put(build_id, self.place.organization_id, DocumentKind.PROVENANCE, text)

    async def statement(self, build_id: UUID) -> dict[str, Any]:
        envelope = json.loads(await self.document(build_id))
        found: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
        return found

    async def _deployment(self, build_id: UUID) -> UUID:
        async with transaction(self.sessions) as session:
            like = await session.get_one(Deployment, self.place.releases[0])
            columns = {c.key: getattr(like, c.key) for c in like.__table__.columns if not c.key.endswith("_at")}
            operation_id, deployment_id = new_id(), new_id()
            shared = {"organization_id": self.place.organization_id, "project_id": self.place.project_id}
            session.add(
                Operation(id=operation_id, **shared, kind="deploy", resource_id=deployment_id, requested_by="ann")
            )
            await session.flush()
            new = {"id": deployment_id, "operation_id": operation_id, "build_id": build_id, "status": "in_progress"}
            session.add(Deployment(**{**columns, **new}))
        return deployment_id


@pytest.fixture
async def worker(sessions: Sessions, history: MakeHistory) -> Worker:
    return Worker(sessions, await history(2), AttestationKeys(SEALER))


async def refused(work: Awaitable[object]) -> str:
    """The message of a refusal, which nobody tries again."""
    with pytest.raises(ApplicationError) as fault:
        await work
    assert (fault.value.type, fault.value.non_retryable) == ("PROVENANCE_INVALID", True), fault.value.message
    return fault.value.message


async def test_the_statement_says_what_was_built_of_what(worker):
    build_id = await worker.made()
    statement = await worker.statement(build_id)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "s-2.0.0.tar", "digest": {"sha256": "a" * 64}}]
    definition, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert (
        definition["externalParameters"].items()
        >= {
            "repository": REPOSITORY,
            "ref": "refs/heads/main",
            "sourcePath": ".",
            "versionTag": "2.0.0",
        }.items()
    )
    assert definition["internalParameters"]["isolated"] is True
    assert definition["resolvedDependencies"] == [
        {"uri": f"git+{REPOSITORY}@refs/heads/main", "digest": {"gitCommit": COMMIT}}
    ]
    assert run["builder"]["id"] == BUILDER
    byproducts = {each["name"]: each for each in run["byproducts"]}
    async with transaction(worker.sessions) as session:
        rows = await session.scalars(select(BuildDocument).where(BuildDocument.build_id == build_id))
        digests = {row.kind: row.digest.removeprefix("sha256:") for row in rows}
    for name, kind in (("sbom.cdx.json", "cyclonedx"), ("sbom.spdx.json", "spdx"), ("scan.json", "scan")):
        assert byproducts[name]["digest"]["sha256"] == digests[kind]
    assert byproducts["scan.json"]["annotations"] == {
        "status": "passed",
        "critical": 0,
        "high": 1,
        "medium": 0,
        "low": 0,
    }
    assert json.loads(base64.b64decode(byproducts["tests"]["content"]))["passed"] == 3


async def test_a_second_attempt_signs_nothing_anew(worker):
    operation_id = await worker.begin()
    first = await worker.attest(worker.order(operation_id))
    build = await worker.build_of(operation_id)
    envelope = await worker.document(build.id)
    async with transaction(worker.sessions) as session:
        await worker.keys.rotate(session)
    again = await worker.attest(worker.order(operation_id))
    assert (again.digest, await worker.document(build.id)) == (first.digest, envelope)
    at_once = await asyncio.gather(*(worker.attest(worker.order(operation_id)) for _ in range(4)))
    assert {one.digest for one in at_once} == {first.digest}


async def test_attempts_at_once_make_one_envelope(worker):
    operation_id = await worker.begin()
    at_once = await asyncio.gather(*(worker.attest(worker.order(operation_id)) for _ in range(6)))
    assert len({one.digest for one in at_once}) == 1


async def test_another_artifact_of_the_same_operation_is_attested_anew(worker):
    """The worker that held the first one was lost before the build was recorded."""
    operation_id = await worker.begin()
    await worker.attest(worker.order(operation_id))
    await worker.attest(worker.order(operation_id, OTHER))
    build_id = await worker.record(operation_id, OTHER)
    assert (await worker.open(build_id, OTHER)).notice is None


async def test_what_was_scanned_is_in_the_sbom_and_what_was_not_is_told(worker):
    operation_id = await worker.begin()
    await worker.scanned(operation_id)
    attested = await worker.attest(worker.order(operation_id))
    assert "2 packages" in attested.detail
    build = await worker.build_of(operation_id)
    found = json.loads(await worker.document(build.id, DocumentKind.CYCLONEDX))
    assert [part["purl"] for part in found["components"]] == ["pkg:npm/%40acme/ui@1.2.3", "pkg:pypi/flask@3.0.0"]
    assert [each["value"] for each in found["metadata"]["properties"]] == ["hadolint has no result: it ended with 9"]
    assert found["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]


@pytest.mark.parametrize(("parts", "size", "listed"), [(1, 10**6, 1), (10**6, 1900, 1), (10**6, 10**6, 2)])
async def test_more_packages_than_can_be_kept_are_told_and_stop_nothing(worker, monkeypatch, parts, size, listed):
    """Two packages take 2,100 bytes."""
    monkeypatch.setattr(attestations, "MAX_PARTS", parts)
    monkeypatch.setattr(attestations, "MAX_DOCUMENT", size)
    operation_id = await worker.begin()
    await worker.scanned(operation_id)
    assert "2 packages" in (await worker.attest(worker.order(operation_id))).detail
    build = await worker.build_of(operation_id)
    found = json.loads(await worker.document(build.id, DocumentKind.CYCLONEDX))
    told = found["metadata"]["properties"][0]["value"]
    assert (len(found["components"]), f"only {listed} of its 2 packages" in told) == (listed, listed < 2)
    spdx = json.loads(await worker.document(build.id, DocumentKind.SPDX))
    assert len(spdx["packages"]) == listed + 1


@pytest.mark.parametrize("scan", [None, b"no JSON"])
async def test_without_a_scan_the_sbom_does_not_claim_to_be_empty(worker, scan):
    operation_id = await worker.begin()
    build = await worker.build_of(operation_id)
    if scan is not None:
        async with transaction(worker.sessions) as session:
            await BuildDocumentRepository(session).put(build.id, build.organization_id, DocumentKind.SCAN, scan)
    attested = await worker.attest(worker.order(operation_id))
    assert "packages are not known" in attested.detail
    found = json.loads(await worker.document(build.id, DocumentKind.CYCLONEDX))
    assert (found["components"], found["compositions"][0]["aggregate"]) == ([], "unknown")
    assert "not known" in found["metadata"]["properties"][0]["value"]


async def test_a_build_that_is_in_order_is_opened(worker):
    assert (await worker.open(await worker.made())).notice is None


async def _tampered_payload(worker: Worker, build_id: UUID) -> bytes:
    envelope = json.loads(await worker.document(build_id))
    payload = base64.b64decode(envelope["payload"]).replace(b"refs/heads/main", b"refs/heads/evil")
    return json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}).encode()


async def _stripped(worker: Worker, build_id: UUID) -> bytes:
    return json.dumps({**json.loads(await worker.document(build_id)), "signatures": []}).encode()


async def _two_signatures(worker: Worker, build_id: UUID) -> bytes:
    envelope = json.loads(await worker.document(build_id))
    foreign = json.loads(await _foreign(worker, build_id))["signatures"]
    return json.dumps({**envelope, "signatures": [*envelope["signatures"], *foreign]}).encode()


async def _payload(worker: Worker, build_id: UUID) -> bytes:
    return base64.b64decode(json.loads(await worker.document(build_id))["payload"])


async def _foreign(worker: Worker, build_id: UUID) -> bytes:
    key = new_key()
    return dsse.signed(await _payload(worker, build_id), dsse.IN_TOTO, key, key_id(key.public_key()))


async def _foreign_under_our_name(worker: Worker, build_id: UUID) -> bytes:
    ours = json.loads(await worker.document(build_id))["signatures"][0]["keyid"]
    return dsse.signed(await _payload(worker, build_id), dsse.IN_TOTO, new_key(), ours)


async def _foreign_and_listed(worker: Worker, build_id: UUID) -> bytes:
    """Whoever can write the database puts a key of their own beside ours: it is not sealed by us."""
    key, row_id = new_key(), new_id()
    async with transaction(worker.sessions) as session:
        ours = (await session.scalars(select(AttestationKey).where(AttestationKey.state == "active"))).one()
        session.add(
            AttestationKey(
                id=row_id,
                kid=key_id(key.public_key()),
                state="retired",
                public_key=public_pem(key.public_key()),
                sealed_key=ours.sealed_key,
            )
        )
    return dsse.signed(await _payload(worker, build_id), dsse.IN_TOTO, key, key_id(key.public_key()))


async def _other_type(worker: Worker, build_id: UUID) -> bytes:
    async with transaction(worker.sessions) as session:
        key = await worker.keys.signing(session)
    return dsse.signed(await _payload(worker, build_id), "application/json", key.private, key.kid)


async def _other_algorithm(worker: Worker, build_id: UUID) -> bytes:
    """A good Ed25519 signature in the name of our key."""
    envelope, payload = json.loads(await worker.document(build_id)), await _payload(worker, build_id)
    signature = Ed25519PrivateKey.generate().sign(dsse.pae(dsse.IN_TOTO, payload))
    signed = {"keyid": envelope["signatures"][0]["keyid"], "sig": base64.b64encode(signature).decode()}
    return json.dumps({**envelope, "signatures": [signed]}).encode()


async def _named_algorithm(worker: Worker, build_id: UUID) -> bytes:
    envelope = json.loads(await worker.document(build_id))
    signature = {**envelope["signatures"][0], "alg": "none", "sig": ""}
    return json.dumps({**envelope, "signatures": [signature]}).encode()


async def _huge(worker: Worker, build_id: UUID) -> bytes:
    return (await worker.document(build_id)) + b" " * dsse.MAX_ENVELOPE


async def _spelled_otherwise(worker: Worker, build_id: UUID) -> bytes:
    """Other trailing bits decode to the same bytes in a lenient reader."""
    envelope = json.loads(await worker.document(build_id))
    return json.dumps({**envelope, "payload": f"{envelope['payload']}\n"}).encode()


async def _duplicate_names(worker: Worker, build_id: UUID) -> bytes:
    text = (await worker.document(build_id)).decode()
    return text.replace('{"payload":', '{"payload":"e30=","payload":', 1).encode()


async def _no_json(_worker: Worker, _build_id: UUID) -> bytes:
    return b"[" * 100_000


async def _of_another_build(worker: Worker, _build_id: UUID) -> bytes:
    """A statement of ours about another build of the project."""
    return await worker.document(await worker.made("3.0.0"))


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (_tampered_payload, "was changed after it was signed"),
        (_stripped, "has 0 signatures"),
        (_two_signatures, "has 2 signatures"),
        (_foreign, "is signed with a foreign key"),
        (_foreign_under_our_name, "was changed after it was signed"),
        (_foreign_and_listed, "which this engine did not make"),
        (_other_type, "is of type 'application/json'"),
        (_other_algorithm, "was changed after it was signed"),
        (_named_algorithm, "no well-formed signature"),
        (_huge, "at most 1048576 are read"),
        (_spelled_otherwise, "not canonical base64"),
        (_duplicate_names, "is ambiguous: the name 'payload' is there twice"),
        (_no_json, "is not JSON"),
        (_of_another_build, "is of another build"),
    ],
)
async def test_an_envelope_that_is_not_ours_is_refused(worker, forge, words):
    build_id = await worker.made()
    await worker.replace(build_id, await forge(worker, build_id))
    message = await refused(worker.open(build_id))
    assert words in message
    assert "build the version again" in message
    assert words in (await worker.open(build_id, policy=Policy.WARN)).notice
    assert (await worker.open(build_id, policy=Policy.OFF)).notice is None


async def _signed_again(worker: Worker, build_id: UUID, change: Callable[[dict[str, Any]], None]) -> None:
    """Our own key signs something else: as if a statement of ours was about something else."""
    statement = await worker.statement(build_id)
    change(statement)
    async with transaction(worker.sessions) as session:
        key = await worker.keys.signing(session)
    await worker.replace(build_id, dsse.signed(json.dumps(statement).encode(), dsse.IN_TOTO, key.private, key.kid))


def _definition(statement: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = statement["predicate"]["buildDefinition"]
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: _definition(s)["internalParameters"].update(buildId=str(new_id())), "is of another build"),
        (lambda s: _definition(s)["internalParameters"].update(projectId=str(new_id())), "is of another project"),
        (lambda s: _definition(s)["internalParameters"].update(organizationId=str(new_id())), "is of another project"),
        (lambda s: s["subject"][0]["digest"].update(sha256="c" * 64), "is of another artifact"),
        (
            lambda s: _definition(s)["resolvedDependencies"][0]["digest"].update(gitCommit="f" * 40),
            "is of another commit",
        ),
        (lambda s: _definition(s)["externalParameters"].update(versionTag="9.9.9"), "is of another version"),
        (
            lambda s: _definition(s)["externalParameters"].update(repository="https://evil.example.com/a"),
            "is of another repository",
        ),
        (lambda s: s["predicate"]["runDetails"]["builder"].update(id="https://other.example"), "is of another builder"),
        (lambda s: s.update(predicateType="https://slsa.dev/provenance/v0.2"), "is no provenance of ours"),
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "is no provenance of ours"),
        (lambda s: s["subject"].append(s["subject"][0]), "is no provenance of ours"),
        (lambda s: s.update(subject=[]), "is no provenance of ours"),
        (lambda s: _definition(s).update(buildType="urn:other"), "is no provenance of ours"),
        (lambda s: s.pop("predicate"), "is no provenance of ours"),
    ],
)
async def test_a_statement_about_something_else_is_refused(worker, change, words):
    build_id = await worker.made()
    await _signed_again(worker, build_id, change)
    assert words in await refused(worker.open(build_id))


async def test_a_statement_in_two_meanings_is_refused(worker):
    build_id = await worker.made()
    text = (await _payload(worker, build_id)).replace(b'{"_type":', b'{"_type":"x","_type":', 1)
    async with transaction(worker.sessions) as session:
        key = await worker.keys.signing(session)
    await worker.replace(build_id, dsse.signed(text, dsse.IN_TOTO, key.private, key.kid))
    assert "'_type' is there twice" in await refused(worker.open(build_id))


async def test_what_is_asked_for_is_what_the_record_has(worker):
    build_id = await worker.made()
    assert "is not about" in await refused(worker.open(build_id, OTHER))
    async with transaction(worker.sessions) as session:
        await session.execute(update(Build).where(Build.id == build_id).values(artifact_digest=OTHER))
    assert "is of another artifact" in await refused(worker.open(build_id, OTHER))


async def test_deleting_the_document_is_no_way_past(worker):
    build_id = await worker.made()
    async with transaction(worker.sessions) as session:
        await session.execute(delete(BuildDocument).where(BuildDocument.build_id == build_id))
    assert "is missing, though it was signed" in await refused(worker.open(build_id))
    async with transaction(worker.sessions) as session:
        await session.execute(update(Build).where(Build.id == build_id).values(attested_digest=None))
    assert "was never signed" in await refused(worker.open(build_id))


async def test_a_build_from_before_is_let_through_with_a_notice_unless_all_need_provenance(worker):
    old = worker.place.builds[0]
    async with transaction(worker.sessions) as session:
        values = {"before_provenance": True, "artifact_digest": ARTIFACT}
        await session.execute(update(Build).where(Build.id == old).values(**values))
    assert "before provenance was kept here" in (await worker.open(old)).notice
    assert "was never signed" in await refused(worker.open(old, policy=Policy.ALWAYS))


async def test_a_build_whose_workflow_is_older_than_provenance_counts_as_one_from_before(worker):
    operation_id = await worker.begin()
    build_id = await worker.record(operation_id)
    assert "before provenance was kept here" in (await worker.open(build_id)).notice


async def test_a_rotated_key_verifies_until_its_end(worker):
    build_id = await worker.made()
    async with transaction(worker.sessions) as session:
        old, new = await worker.keys.rotate(session)
    assert (await worker.open(build_id)).notice is None
    later = await worker.made("3.0.0")
    assert json.loads(await worker.document(later))["signatures"][0]["keyid"] == new
    async with transaction(worker.sessions) as session:
        row = (await session.scalars(select(AttestationKey).where(AttestationKey.kid == old))).one()
        row.verifies_until = now() - timedelta(seconds=1)
    assert "which expired at" in await refused(worker.open(build_id))
    assert (await worker.open(later)).notice is None


async def test_nothing_that_a_revoked_key_signed_is_believed(worker):
    build_id = await worker.made()
    kid = json.loads(await worker.document(build_id))["signatures"][0]["keyid"]
    async with transaction(worker.sessions) as session:
        assert await worker.keys.revoke(session, kid) is not None
    assert "which was revoked" in await refused(worker.open(build_id))
    async with transaction(worker.sessions) as session:  # somebody who writes the database takes that back
        row = (await session.scalars(select(AttestationKey).where(AttestationKey.kid == kid))).one()
        row.state, row.revoked_at = "retired", None
    fresh = replace(worker, keys=AttestationKeys(SEALER))
    assert "which this engine did not make" in await refused(fresh.open(build_id))


async def test_another_engine_with_this_database_is_another_builder(worker):
    build_id = await worker.made()
    assert "is of another builder" in await refused(worker.open(build_id, builders=("https://staging.example.com/b",)))
    both = ("https://new.example.com/builder", BUILDER)
    assert (await worker.open(build_id, builders=both)).notice is None


async def test_a_project_that_moved_is_told_and_an_ending_is_none(worker):
    build_id = await worker.made()
    for address in (REPOSITORY.removesuffix(".git"), f"{REPOSITORY.removesuffix('.git')}/"):
        async with transaction(worker.sessions) as session:
            await session.execute(update(Project).values(repository_url=address))
        assert (await worker.open(build_id)).notice is None
    async with transaction(worker.sessions) as session:
        await session.execute(update(Project).values(repository_url="https://git.example.com/evil/shop"))
    assert "is of another repository" in await refused(worker.open(build_id))


@pytest.mark.parametrize("before", [REPOSITORY, "ssh://git@git.example.com/acme/shop.git"])
async def test_an_older_build_of_a_project_that_moved_is_deployed_with_a_notice(worker, before):
    """By the log of changes, not by anybody's word: what was never the project's address is foreign."""
    operation_id = await worker.begin()
    await worker.attest(worker.order(operation_id).model_copy(update={"repository_url": before}))
    build_id = await worker.record(operation_id)
    for address in (before, "https://git.example.org/acme/shop", "https://git.example.net/shop"):
        async with transaction(worker.sessions) as session:
            project = await session.get_one(Project, worker.place.project_id)
            await audited_writes.change(session, project, {"repository_url": address})
    notice = (await worker.open(build_id)).notice
    assert f"was made of {before}, which was the project's repository" in notice
    assert "changed to https://git.example.net/shop" in notice

    foreign = await worker.begin("3.0.0")
    await worker.attest(worker.order(foreign).model_copy(update={"repository_url": "https://evil.example.com/x"}))
    assert "is of another repository" in await refused(worker.open(await worker.record(foreign)))


async def test_what_another_project_left_is_no_former_address_of_this_one(worker, history):
    other = await history(1)
    build_id = await worker.made()
    async with transaction(worker.sessions) as session:
        for address in (REPOSITORY, "https://git.example.com/moved"):
            project = await session.get_one(Project, other.project_id)
            await audited_writes.change(session, project, {"repository_url": address})
        await session.execute(update(Project).values(repository_url="https://git.example.com/moved"))
    assert "is of another repository" in await refused(worker.open(build_id))


async def reported(worker: Worker) -> UUID:
    """A build that was made elsewhere: without operation and artifact, its commit abbreviated."""
    operation_id = await worker.begin("4.0.0")
    async with transaction(worker.sessions) as session:
        build = (await session.scalars(select(Build).where(Build.operation_id == operation_id))).one()
        build.operation_id, build.provenance, build.status = None, "reported", "success"
        build.git_commit_hash, build.started_at = COMMIT[:12].upper(), None
        return build.id


async def test_of_a_build_made_elsewhere_the_first_artifact_is_attested(worker):
    build_id = await reported(worker)
    first = await worker.attest(worker.order(new_id(), ARTIFACT, build_id))
    second = await worker.attest(worker.order(new_id(), OTHER, build_id))
    assert (first.skipped, second.digest) == (None, None)
    assert "made the artifact of this build first" in second.skipped
    for digest in (OTHER, ARTIFACT):
        artifact = PackagedArtifact(digest=digest, size_bytes=1, file_count=1)
        request = KeepArtifact(build_id=build_id, artifact=artifact, spec=SPEC)
        loaded = await ActivityEnvironment().run(BuildRecordActivities(worker.sessions).keep_artifact, request)
        assert loaded.artifact_digest == ARTIFACT
    assert (await worker.open(build_id)).notice is None


async def test_a_build_made_elsewhere_whose_reported_coverage_is_too_low_gets_no_artifact(worker):
    """`min_coverage` was for tests that run here alone: a silent pass."""
    build_id = await reported(worker)
    strict = SPEC.model_copy(update={"test": DeliveryTests(min_coverage=80)})
    order = worker.order(new_id(), ARTIFACT, build_id)
    order = order.model_copy(update={"source": order.source.model_copy(update={"spec": strict})})
    keep = KeepArtifact(
        build_id=build_id, artifact=PackagedArtifact(digest=ARTIFACT, size_bytes=1, file_count=1), spec=strict
    )
    records = BuildRecordActivities(worker.sessions)
    for percent, code in ((None, "TEST_REPORT_INVALID"), (79.9, "COVERAGE_TOO_LOW")):
        async with transaction(worker.sessions) as session:
            (await session.get_one(Build, build_id)).code_coverage_percent = percent
        for call in (worker.attest(order), ActivityEnvironment().run(records.keep_artifact, keep)):
            with pytest.raises(ApplicationError) as caught:
                await call
            assert (caught.value.type, caught.value.non_retryable) == (code, True)
    async with transaction(worker.sessions) as session:
        build = await session.get_one(Build, build_id)
        assert (build.artifact_digest, build.attested_digest) == (None, None)
        build.code_coverage_percent = 80
    assert (await worker.attest(order)).digest is not None


async def test_a_build_of_another_project_is_not_attested(worker, history):
    other = await history(1)
    order = worker.order(new_id(), ARTIFACT, other.builds[0])
    with pytest.raises(ApplicationError, match="another project's"):
        await worker.attest(order)


async def test_a_rollback_that_has_to_start_instances_asks_again(worker):
    """One that moves traffic to what still runs does not: it starts nothing."""
    build_id = await worker.made()
    async with transaction(worker.sessions) as session:
        before = await session.get_one(Release, worker.place.releases[0])
        before.build_id, before.artifact_digest, before.state = build_id, ARTIFACT, ReleaseState.STOPPED
    kid = json.loads(await worker.document(build_id))["signatures"][0]["keyid"]
    async with transaction(worker.sessions) as session:
        await session.execute(update(Project).values(repository_url="https://git.example.com/moved/since"))
        row = (await session.scalars(select(AttestationKey).where(AttestationKey.kid == kid))).one()
        row.state, row.revoked_at = "revoked", now()
    assert "which was revoked" in await refused(worker.reopen())
    async with transaction(worker.sessions) as session:
        row = (await session.scalars(select(AttestationKey).where(AttestationKey.kid == kid))).one()
        row.state, row.revoked_at = "active", None
    assert (await worker.reopen()).release.build_id == build_id
