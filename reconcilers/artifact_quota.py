"""The quota of artifacts: the oldest that are not needed are removed when an organization exceeds it."""

from datetime import timedelta
from uuid import UUID

import structlog

from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.base import ArtifactStore
from runtime.ids import now
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.artifact_room import ArtifactRoomRepository

log = structlog.get_logger(__name__)

# What was built just now may be about to be deployed, or be built once more.
YOUNG = timedelta(days=1)
_MIB = 1024 * 1024


class ArtifactQuota(Reconciler):
    """Keeps organizations within `limit_mb` MiB each; those with less lose nothing."""

    name = "artifact_quota"
    interval_s = 600.0
    limit_s = 600.0

    def __init__(self, sessions: Sessions, store: ArtifactStore, limit_mb: int) -> None:
        super().__init__()
        self._sessions = sessions
        self._store = store
        self._limit_mb = limit_mb

    async def check(self, organization: str) -> None:
        """Refuse another artifact to an organization that is beyond its room.

        Raises:
            TerminalError: QUOTA_EXCEEDED.
        """
        if not organization:  # an operation of an older version
            return
        async with transaction(self._sessions) as session:
            used = await ArtifactRoomRepository(session).used(UUID(organization))
        if used > self._limit_mb * _MIB:
            raise TerminalError(
                f"the organization's artifacts take {used // _MIB} of {self._limit_mb} MiB; those of older versions "
                "that no environment needs go by themselves a day after their build, so build less often or smaller "
                "versions, or ask the operator for more",
                code=ErrorCode.QUOTA_EXCEEDED,
                details={"used_mb": used // _MIB, "limit_mb": self._limit_mb},
            )

    async def reconcile(self) -> int:
        """Remove artifacts; returns how many. What fails for one organization is no other's."""
        async with transaction(self._sessions) as session:
            crowded = await ArtifactRoomRepository(session).crowded(self._limit_mb * _MIB)
        removed = 0
        for organization_id, used in crowded:
            try:
                removed += await self._make_room(organization_id, used - self._limit_mb * _MIB)
            except OSError as error:
                log.warning("artifacts.not_removed", organization_id=str(organization_id), reason=str(error))
            except Exception:
                log.exception("artifacts.not_removed", organization_id=str(organization_id))
        return removed

    async def _make_room(self, organization_id: UUID, missing: int) -> int:
        async with transaction(self._sessions) as session:
            found = await ArtifactRoomRepository(session).removable(organization_id, before=now() - YOUNG)
        removed = 0
        for digest, size in found:
            if missing <= 0:
                break
            # The file first: should we die between the two, the next pass finds the row again.
            if not await self._store.remove(digest, older_than_s=YOUNG.total_seconds()):
                continue
            async with transaction(self._sessions) as session:
                await ArtifactRoomRepository(session).forget(organization_id, digest)
            log.info("artifacts.removed", organization_id=str(organization_id), digest=digest, size_bytes=size)
            missing -= size
            removed += 1
        return removed
