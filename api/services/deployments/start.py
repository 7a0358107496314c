"""Operations from a request to their start: the rows and the outbox in one transaction, a first attempt after it."""

import asyncio
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.operations_port import OperationsPort
from contracts.names import readable_workflow_id
from contracts.operations import BuildAndDeployInput, DeployInput, OperationContext, StepProgress
from domain.errors import DeliveryError
from domain.lifecycle import EnvironmentName, OperationKind, OperationStatus, StepName
from orchestration.signing import Signer
from runtime.ids import new_id
from runtime.logging import get_logger
from runtime.tracing import within
from storage.models import Environment, Operation, Organization, Project
from storage.repositories.outbox import OutboxRepository

log = get_logger(__name__)

START_LIMIT_S = 0.5


def place_of(
    *,
    operation_id: UUID,
    deployment_id: UUID,
    organization: Organization,
    project: Project,
    environment: Environment,
    version: str,
    requested_by: str,
) -> OperationContext:
    """Whose operation it is and where it goes. `version`: what its workflow's id says of it, for people."""
    return OperationContext(
        operation_id=operation_id,
        deployment_id=deployment_id,
        organization_id=organization.id,
        project_id=project.id,
        environment_id=environment.id,
        environment=EnvironmentName(environment.name),
        host=environment.host,
        organization_slug=organization.slug,
        project_slug=project.slug,
        requested_by=requested_by,
        named_workflow_id=readable_workflow_id(
            operation_id, organization.slug, project.slug, environment.name, version
        ),
    )


async def record_operation(
    session: AsyncSession,
    signer: Signer,
    kind: OperationKind,
    order: BuildAndDeployInput | DeployInput,
    steps: tuple[StepName, ...],
) -> Operation:
    """The operation's row, and its start in the outbox, signed: both are committed or neither."""
    place = order.place
    payload: dict[str, Any] = signer.order(kind, order).model_dump(mode="json")
    operation = Operation(
        id=place.operation_id,
        organization_id=place.organization_id,
        project_id=place.project_id,
        environment=place.environment,
        kind=kind,
        status=OperationStatus.PENDING,
        resource_id=place.deployment_id,
        resource_type="deployment",
        steps=[StepProgress(name=step).model_dump(mode="json") for step in steps],
        input=payload,
        named_workflow_id=place.named_workflow_id,
        requested_by=place.requested_by,
    )
    session.add(operation)
    await session.flush()
    await OutboxRepository(session).start_workflow(
        new_id(),
        organization_id=place.organization_id,
        topic=kind,
        operation_id=place.operation_id,
        payload=payload,
    )
    return operation


async def try_start(operations: OperationsPort, operation: Operation) -> bool:
    """Start now what was committed, within half a second; if that fails the relay starts it."""
    try:
        with within(operation.traceparent):
            async with asyncio.timeout(START_LIMIT_S):
                await operations.start(OperationKind(operation.kind), operation.input)
    except (DeliveryError, TimeoutError) as error:
        log.warning("operation.start_left_to_relay", kind=operation.kind, cause=str(error) or type(error).__name__)
        return False
    return True


async def ensure_started(operations: OperationsPort, operation: Operation) -> None:
    """Start the workflow first if it was not started yet, so that it can receive the message.

    Raises:
        DependencyError: the workflow engine does not answer.
    """
    if operation.workflow_started_at is None:
        with within(operation.traceparent):
            await operations.start(OperationKind(operation.kind), operation.input)
