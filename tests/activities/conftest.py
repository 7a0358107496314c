"""An environment on the real database with releases that became stable one after another."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest

from activities.instances import InstanceStopper
from activities.provenance import ProvenanceGuard
from activities.releases import ReleaseActivities
from contracts.operations import OperationContext
from domain.lifecycle import EnvironmentName
from domain.provenance import Policy
from runtime.encryption import Sealer
from runtime.ids import new_id, now
from runtime.key_text import KEY_BYTES
from storage.attestation_keys import AttestationKeys
from storage.engine import Sessions, transaction
from storage.models import (
    Build,
    Deployment,
    Environment,
    Feature,
    Operation,
    Organization,
    Project,
    Release,
    Requirement,
)
from storage.repositories.routing import RoutingRepository


@dataclass(frozen=True)
class History:
    """An environment and its releases, oldest first; the last one is the stable one, those before it are kept."""

    environment_id: UUID
    releases: tuple[UUID, ...]
    builds: tuple[UUID, ...]
    organization_id: UUID
    project_id: UUID

    def place(self, deployment_id: UUID) -> OperationContext:
        """What a workflow knows of an operation on a deployment there."""
        return OperationContext(
            operation_id=new_id(),
            deployment_id=deployment_id,
            organization_id=self.organization_id,
            project_id=self.project_id,
            environment_id=self.environment_id,
            environment=EnvironmentName.DEV,
            host=f"{self.environment_id}.localhost",
            organization_slug="acme",
            project_slug="shop",
            requested_by="ann",
        )


MakeHistory = Callable[[int], Awaitable[History]]


@pytest.fixture
def history(sessions: Sessions) -> MakeHistory:
    """Makes an environment in which so many releases were promoted, a minute after each other."""

    async def make(count: int) -> History:
        org, project, requirement, feature, environment = (new_id() for _ in range(5))
        found = History(
            environment,
            tuple(new_id() for _ in range(count)),
            tuple(new_id() for _ in range(count)),
            organization_id=org,
            project_id=project,
        )
        shared = {"organization_id": org, "project_id": project}
        async with transaction(sessions) as session:
            session.add(Organization(id=org, name="Acme", slug=str(org), host_label=str(org)))
            await session.flush()
            session.add(
                Project(id=project, organization_id=org, name="S", slug="s", host_label="s", repository_url="x")
            )
            await session.flush()
            session.add(Requirement(id=requirement, **shared, title="t", description="d", created_by="me"))
            await session.flush()
            session.add(Feature(id=feature, **shared, requirement_id=requirement, name="f", description="d"))
            row = Environment(id=environment, **shared, name="dev", host=f"{environment}.localhost")
            session.add(row)
            await session.flush()
            for number, (release, build) in enumerate(zip(found.releases, found.builds, strict=True), 1):
                await _add(session, found, feature, number, release, build)
            row.current_release_id = found.releases[-1]
            await session.flush()
            await RoutingRepository(session).set_route(environment, row.host, [(found.releases[-1], 100)])
        return found

    return make


async def _add(session, found, feature, number, release, build) -> None:  # noqa: PLR0917 - one row after another
    operation = new_id()
    shared = {"organization_id": found.organization_id, "project_id": found.project_id}
    last = release == found.releases[-1]
    session.add(Operation(id=operation, **shared, kind="deploy", resource_id=release, requested_by="me"))
    session.add(
        Build(
            id=build,
            **shared,
            feature_id=feature,
            provenance="executed",
            build_number=number,
            version_tag=f"1.0.{number}",
            git_commit_hash="0" * 40,
            git_branch="main",
            status="success",
        )
    )
    await session.flush()
    session.add(
        Deployment(
            id=release,
            **shared,
            environment_id=found.environment_id,
            build_id=build,
            operation_id=operation,
            environment="dev",
            deployment_strategy="rolling",
            status="success",
            requested_by="me",
        )
    )
    await session.flush()
    session.add(
        Release(
            id=release,
            organization_id=found.organization_id,
            environment_id=found.environment_id,
            deployment_id=release,
            build_id=build,
            artifact_digest="sha256:00",
            service={"command": "serve"},
            replicas=2,
            state="active" if last else "retired",
            was_healthy=True,
            promoted_at=now() + timedelta(minutes=number),
            stop_after=None if last else now() + timedelta(minutes=5),
        )
    )
    await session.flush()


def release_activities(sessions: Sessions, stopper: InstanceStopper | None) -> ReleaseActivities:
    """As a worker has them that does not ask for provenance: what is signed has tests of its own."""
    nobody = ProvenanceGuard(AttestationKeys(Sealer([b"0" * KEY_BYTES])), Policy.OFF, ())
    return ReleaseActivities(sessions, stopper, nobody)
