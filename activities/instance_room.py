"""Room for instances: each organization has so much of the machine; beyond it nothing more of it is started."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from domain.ceilings import Ceiling
from domain.delivery_spec import ProcessSpec, ServiceSpec
from domain.errors import ErrorCode, TerminalError
from domain.lifecycle import ReleaseState
from domain.shares import Share
from storage.models import Release
from storage.repositories.shares import ShareRepository

# States in which a release's other process types run, or are about to.
BESIDE_RUNS = (ReleaseState.STARTING, ReleaseState.ACTIVE)
_SETTINGS: Mapping[str, tuple[str, str, str]] = {
    "instances": ("instances", "DELIVERY_INSTANCES_PER_ORGANIZATION", "fewer `service.replicas` (or `processes`)"),
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
    """Refuses a start that would exceed the organization's `limit`. Running instances are not touched.

    Args:
        limit: of one organization; what an instance counts for is what it may use, not what it uses.
        ceiling: what one instance may use at most, whatever its project asks for.
    """

    def __init__(self, limit: Share, ceiling: Ceiling) -> None:
        self._limit = limit
        self._ceiling = ceiling

    async def check(self, session: AsyncSession, release: Release, count: int) -> None:
        """Whether `count` instances of the release fit beside all others of its organization, now and until the commit.

        Its other process types are counted with the first of them: they come last, when it is too late to say no. What
        was good before is never refused, or a full organization could not go back: there is one such version at most
        beside that of each environment.

        Raises:
            TerminalError: QUOTA_EXCEEDED.
        """
        if release.was_healthy:
            return
        repository = ShareRepository(session)
        await repository.lock(release.organization_id)
        others = Share()
        for other, number in await repository.of(release.organization_id):
            if other.id != release.id:
                others = others.plus(self._all(other, number))
        wanted = others.plus(self._all(release, count))
        if name := wanted.beyond(self._limit):
            raise self._refusal(name, wanted, others)

    def _all(self, release: Release, count: int) -> Share:
        """So many instances of a release that take traffic, and all of its process types beside them.

        Those of a version that is kept for a return do not run.
        """
        service = ServiceSpec.model_validate(release.service)
        whole = Share().plus(self._one(service, service.memory_mb), count)
        if release.state in BESIDE_RUNS:
            for stored in release.processes.values():
                process = ProcessSpec.model_validate(stored)
                whole = whole.plus(self._one(service, process.memory_mb or service.memory_mb), process.count)
        return whole

    def _one(self, service: ServiceSpec, memory_mb: int) -> Share:
        most = self._ceiling.lowered(memory_mb=memory_mb, disk_mb=service.disk_mb)
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
