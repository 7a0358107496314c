"""Room for instances: each organization has so much of the machine; beyond it nothing more of it is started."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from domain.ceilings import Ceiling
from domain.delivery import ServiceSpec
from domain.errors import ErrorCode, TerminalError
from domain.shares import Share
from storage.models import Release
from storage.repositories.shares import ShareRepository

_SETTINGS: Mapping[str, tuple[str, str, str]] = {
    "instances": ("instances", "DELIVERY_INSTANCES_PER_ORGANIZATION", "fewer `service.replicas`"),
    "memory_mb": (
        "MiB of memory",
        "DELIVERY_INSTANCE_MEMORY_MB_PER_ORGANIZATION",
        "less `service.memory_mb` or fewer `service.replicas`",
    ),
    "disk_mb": (
        "MiB on disk",
        "DELIVERY_INSTANCE_DISK_MB_PER_ORGANIZATION",
        "less `service.disk_mb` or fewer `service.replicas`",
    ),
}


class InstanceRoom:
    """Keeps an organization within `limit`. What runs already, of whomever, is left alone.

    Args:
        limit: of one organization; what an instance counts for is what it may use, not what it uses.
        ceiling: what one instance may use at most, whatever its project asks for.
    """

    def __init__(self, limit: Share, ceiling: Ceiling) -> None:
        self._limit = limit
        self._ceiling = ceiling

    async def check(self, session: AsyncSession, release: Release, count: int) -> None:
        """Whether `count` instances of the release fit beside all others of its organization, now and until the commit.

        Raises:
            TerminalError: QUOTA_EXCEEDED.
        """
        repository = ShareRepository(session)
        await repository.lock(release.organization_id)
        others = Share()
        for release_id, service, number in await repository.of(release.organization_id):
            if release_id != release.id:
                others = others.plus(self._one(service), number)
        wanted = others.plus(self._one(release.service), count)
        if name := wanted.beyond(self._limit):
            raise self._refusal(name, wanted, others)

    def _one(self, service: Mapping[str, object]) -> Share:
        spec = ServiceSpec.model_validate(service)
        most = self._ceiling.lowered(memory_mb=spec.memory_mb, processes=spec.processes, disk_mb=spec.disk_mb)
        return Share(1, most.memory_mb, most.disk_mb)

    def _refusal(self, name: str, wanted: Share, others: Share) -> TerminalError:
        what, setting, less = _SETTINGS[name]
        limit, all_together, there = (getattr(share, name) for share in (self._limit, wanted, others))
        return TerminalError(
            f"the organization's instances would take {all_together} of {limit} {what}, {there} of them those of its "
            f"other versions and environments; ask for {less}, delete what is not needed, or ask the operator for more "
            f"({setting})",
            code=ErrorCode.QUOTA_EXCEEDED,
            details={"limit": limit, "wanted": all_together, "used_by_others": there, "setting": setting},
        )
