"""Reading a build that shall be deployed, on the real database."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.artifacts import moment_of_commit
from activities.build_records import BuildRecordActivities
from contracts.builds import FoundArtifact, KeepArtifact, LoadBuild, LoadedBuild, PackagedArtifact
from domain.delivery_spec import DeliverySpec, ServiceSpec
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Build, Feature, Organization, Project, Requirement

COMMITTED = 1_729_938_600
SPEC = DeliverySpec(service=ServiceSpec(command="serve", replicas=2))


async def made(sessions: Sessions, **values: Any) -> UUID:
    """A build with everything it belongs to."""
    org, project, requirement, feature, build = (new_id() for _ in range(5))
    shared = {"organization_id": org, "project_id": project}
    rows = [
        Organization(id=org, name="Acme", slug=str(org), host_label=str(org)),
        Project(id=project, organization_id=org, name="Shop", slug="shop", host_label="shop", repository_url="x"),
        Requirement(id=requirement, **shared, title="t", description="d", created_by="me"),
        Feature(id=feature, **shared, requirement_id=requirement, name="f", description="d"),
        Build(
            id=build,
            **shared,
            feature_id=feature,
            provenance="executed",
            build_number=7,
            version_tag="1.0.0",
            git_commit_hash="0" * 40,
            git_branch="main",
            status="success",
            **values,
        ),
    ]
    async with transaction(sessions) as session:
        for row in rows:
            session.add(row)
            await session.flush()
    return build


async def load(sessions: Sessions, build_id: UUID) -> LoadedBuild:
    found: LoadedBuild = await ActivityEnvironment().run(
        BuildRecordActivities(sessions).load, LoadBuild(build_id=build_id)
    )
    return found


async def test_a_build_is_loaded_with_its_spec(sessions):
    build_id = await made(sessions, artifact_digest="sha256:00", spec=SPEC.model_dump(mode="json"))
    assert await load(sessions, build_id) == LoadedBuild(build_id=build_id, artifact_digest="sha256:00", spec=SPEC)


async def test_a_build_without_an_artifact_cannot_be_deployed(sessions):
    with pytest.raises(ApplicationError, match="has no artifact") as caught:
        await load(sessions, await made(sessions))
    assert (caught.value.type, caught.value.non_retryable) == ("ARTIFACT_UNAVAILABLE", True)


async def test_a_build_that_is_gone_is_not_waited_for(sessions):
    with pytest.raises(ApplicationError) as caught:
        await load(sessions, new_id())
    assert (caught.value.type, caught.value.non_retryable) == ("RESOURCE_NOT_FOUND", True)


async def find(sessions: Sessions, build_id: UUID) -> FoundArtifact:
    found: FoundArtifact = await ActivityEnvironment().run(
        BuildRecordActivities(sessions).find_artifact, LoadBuild(build_id=build_id)
    )
    return found


async def keep(sessions: Sessions, build_id: UUID, digest: str) -> LoadedBuild:
    artifact = PackagedArtifact(digest=digest, size_bytes=5, file_count=1, committed_at=moment_of_commit(COMMITTED))
    kept: LoadedBuild = await ActivityEnvironment().run(
        BuildRecordActivities(sessions).keep_artifact, KeepArtifact(build_id=build_id, artifact=artifact, spec=SPEC)
    )
    return kept


async def test_the_first_artifact_of_a_build_of_elsewhere_stays(sessions):
    build_id = await made(sessions)
    assert (await find(sessions, build_id)).build is None
    digests = [f"sha256:{number}" for number in range(5)]
    kept = await asyncio.gather(*(keep(sessions, build_id, digest) for digest in digests))
    [digest] = {one.artifact_digest for one in kept}
    assert digest in digests
    assert (await find(sessions, build_id)).build == kept[0] == await keep(sessions, build_id, "sha256:late")
    async with transaction(sessions) as session:
        row = await session.get_one(Build, build_id)
    assert (row.artifact_size_bytes, row.spec) == (5, SPEC.model_dump(mode="json"))
    assert row.committed_at == datetime.fromtimestamp(COMMITTED, UTC)


@pytest.mark.parametrize("epoch_s", [0, -1, 10**12, 2**63])
def test_a_commit_that_names_no_moment_has_none(epoch_s):
    """The time of a commit is whatever its author's machine wrote."""
    assert moment_of_commit(epoch_s) is None
