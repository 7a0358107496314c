"""Turns changed rows into events, in the transaction of the change, while the rows are locked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain import events
from domain.events import EventType, Json, event_id
from runtime.ids import new_id
from storage.models import (
    Base,
    Build,
    Deployment,
    Environment,
    Event,
    Feature,
    Operation,
    Release,
    TestCase,
    TestResult,
    Vulnerability,
)
from storage.models.base import columns_of
from storage.repositories.events import EventRepository


class EventWriter:
    """Writes events from rows as read back from the database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._events = EventRepository(session)

    async def created(self, row: Base) -> None:
        """The event for a row created by the API; most kinds have none."""
        if isinstance(row, Feature):
            await self._write(EventType.FEATURE_CREATED, row, events.feature_payload(columns_of(row)))
        if isinstance(row, TestResult):
            case = await self._session.get_one(TestCase, row.test_case_id)
            await self.test_result(row, case.project_id)

    async def test_result(self, result: TestResult, project_id: UUID) -> None:
        """A test case was carried out: by whoever reports it, or by the tests of a build."""
        payload = events.test_result_payload(columns_of(result))
        await self._write(EventType.TEST_COMPLETED, result, payload, project_id=project_id)

    async def changed(self, row: Base, before: dict[str, Any]) -> None:
        """The event for a change by the API; `before`: old values of the fields that changed."""
        if isinstance(row, Feature) and "implementation_status" in before:
            payload = events.feature_payload(columns_of(row), previous_status=str(before["implementation_status"]))
            await self._write(EventType.FEATURE_STATUS_CHANGED, row, payload)

    async def build_completed(self, build: Build) -> None:
        """A build was recorded, good or failed; a test run is an event of its own."""
        values = columns_of(build)
        if build.tests_passed is not None or build.tests_failed is not None:
            payload = events.build_tests_payload(values)
            await self._write(
                EventType.TEST_COMPLETED, build, payload, own_id=event_id(build.created_at, build.id, "tests")
            )
        payload = events.build_payload(values)
        own_id = event_id(build.created_at, build.id, "completed")
        await self._write(EventType.BUILD_COMPLETED, build, payload, own_id=own_id)

    async def operation_completed(self, operation: Operation, moment: datetime) -> None:
        """An operation ended, with or without success."""
        payload = events.operation_payload(columns_of(operation))
        own_id = event_id(moment, operation.id, order=operation.version)
        await self._write(EventType.OPERATION_COMPLETED, operation, payload, own_id=own_id)

    async def deployment(self, kind: EventType, deployment: Deployment, own_id: UUID) -> None:
        """A deployment changed."""
        payload = events.deployment_payload(columns_of(deployment))
        await self._write(kind, deployment, payload, own_id=own_id)

    async def environment_degraded(
        self, environment: Environment, release: Release, *, wanted: int, healthy: int
    ) -> None:
        """Not all instances of the live release are healthy."""
        build = await self._session.get_one(Build, release.build_id)
        payload = events.environment_payload(
            columns_of(environment),
            release=columns_of(release),
            build=columns_of(build),
            wanted=wanted,
            healthy=healthy,
        )
        await self._write(EventType.ENVIRONMENT_DEGRADED, environment, payload)

    async def instance_displaced(
        self, environment: Environment, release: Release, *, instance_id: str, port_before: int, port: int
    ) -> None:
        """Another process listens on an instance's port; the instance has a new one."""
        payload = events.displaced_payload(
            columns_of(environment),
            release=columns_of(release),
            instance_id=instance_id,
            port_before=port_before,
            port=port,
        )
        await self._write(EventType.INSTANCE_DISPLACED, environment, payload)

    async def vulnerability_detected(self, row: Vulnerability, affected: Sequence[Json], moment: datetime) -> None:
        """A scan found one that nobody knew of, or that was fixed before."""
        payload = events.vulnerability_payload(columns_of(row), affected, moment)
        own_id = event_id(row.detected_at, row.id, "detected")
        await self._write(EventType.VULNERABILITY_DETECTED, row, payload, own_id=own_id)

    async def _write(
        self,
        kind: EventType,
        row: Any,
        payload: dict[str, Any],
        *,
        project_id: UUID | None = None,
        own_id: UUID | None = None,
    ) -> None:
        """`own_id`: an id that stays the same on retries; None: it is never retried."""
        event = Event(
            id=own_id or new_id(),
            organization_id=row.organization_id,
            project_id=project_id or row.project_id,
            type=kind,
            resource_type=next(iter(payload)),
            resource_id=row.id,
            payload=payload,
        )
        await self._events.add(event)
