"""Records that another process took an instance's port: an event, and an entry in the audit log."""

from sqlalchemy.ext.asyncio import AsyncSession

from runtime.ids import new_id
from storage.models import AuditEntry, Environment, Release
from storage.repositories.audit import AuditRepository
from storage.repositories.event_writer import EventWriter
from storage.repositories.outcomes import SYSTEM
from storage.tenancy import PLATFORM


class DisplacedRepository:
    """Written in the transaction that stores the instance's new port."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def told(self, release: Release, instance_id: str, *, before: int, after: int) -> None:
        """Another process listens on the instance's port; the instance has a new one."""
        environment = await self._session.get_one(Environment, release.environment_id)
        writer = EventWriter(self._session)
        await writer.instance_displaced(environment, release, instance_id=instance_id, port_before=before, port=after)
        entry = AuditEntry(
            id=new_id(),
            organization_id=environment.organization_id,
            actor=SYSTEM,
            credential="keeper",
            action="instance.displaced",
            resource_type="environment",
            resource_id=environment.id,
            reason=f"another process of the machine listens on port {before}",
            changes={"port": {"from": before, "to": after}},
            details={"instance_id": instance_id, "release_id": str(release.id)},
        )
        await AuditRepository(self._session, PLATFORM).write_once(entry)
