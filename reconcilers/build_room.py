"""The quota of builds' documents and findings: the oldest go when an organization exceeds it."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from runtime.ids import now
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.build_room import BuildRoomRepository

log = structlog.get_logger(__name__)

# What was written just now is read when the build is attested, a moment later.
YOUNG: Final = timedelta(minutes=10)
# Links between builds and vulnerabilities: two hundred builds with as many findings as are kept.
MAX_FINDINGS: Final = 1_000_000
# Vulnerabilities that no newest build has any more.
MAX_FIXED: Final = 100_000
# A pass is bounded; what is left waits for the next.
MAX_BATCHES: Final = 40
BATCH: Final = 500
_MIB = 1024 * 1024


class BuildRoom(Reconciler):
    """Keeps organizations within `limit_mb` MiB of documents each; those with less lose nothing."""

    name = "build_room"
    interval_s = 600.0
    limit_s = 600.0

    def __init__(
        self, sessions: Sessions, limit_mb: int, *, max_findings: int = MAX_FINDINGS, max_fixed: int = MAX_FIXED
    ) -> None:
        super().__init__()
        self._sessions = sessions
        self._limit = limit_mb * _MIB
        self._max_findings = max_findings
        self._max_fixed = max_fixed

    async def reconcile(self) -> int:
        """Returns how many documents, findings and fixed vulnerabilities went."""
        async with transaction(self._sessions) as session:
            rows = BuildRoomRepository(session)
            crowded = await rows.crowded(self._limit)
            found = await rows.crowded_by_findings(self._max_findings)
            fixed = await rows.crowded_by_fixed(self._max_fixed)
        work = [
            *((self._remove_documents, organization, used - self._limit) for organization, used in crowded),
            *((self._remove_findings, organization, count - self._max_findings) for organization, count in found),
            *((self._remove_fixed, organization, count - self._max_fixed) for organization, count in fixed),
        ]
        removed = 0
        for remove, organization, missing in work:
            try:
                removed += await remove(organization, missing)
            except Exception:  # what fails for one organization is no other's
                log.exception("build_room.not_made", organization_id=str(organization))
        return removed

    async def _remove_documents(self, organization_id: UUID, missing: int) -> int:
        removed = 0
        for _ in range(MAX_BATCHES):
            async with transaction(self._sessions) as session:
                rows = BuildRoomRepository(session)
                going = []
                for build_id, kind, size in await rows.removable(organization_id, before=now() - YOUNG):
                    if missing <= 0:
                        break
                    going.append((build_id, kind))
                    missing -= size
                if going:
                    await rows.remove(going)
            removed += len(going)
            if not going or missing <= 0:
                break
        if removed:
            log.info("build_documents.removed", organization_id=str(organization_id), documents=removed)
        return removed

    async def _remove_findings(self, organization_id: UUID, missing: int) -> int:
        removed = 0
        for _ in range(MAX_BATCHES):
            async with transaction(self._sessions) as session:
                gone = await BuildRoomRepository(session).remove_findings(organization_id, before=now() - YOUNG)
            removed += gone
            if not gone or removed >= missing:
                break
        if removed:
            log.info("build_findings.removed", organization_id=str(organization_id), findings=removed)
        return removed

    async def _remove_fixed(self, organization_id: UUID, missing: int) -> int:
        removed = 0
        for _ in range(MAX_BATCHES):
            async with transaction(self._sessions) as session:
                wanted = min(missing - removed, BATCH)
                gone = await BuildRoomRepository(session).remove_fixed(organization_id, limit=wanted)
            removed += gone
            if not gone or removed >= missing:
                break
        if removed:
            log.info("vulnerabilities.removed", organization_id=str(organization_id), fixed=removed)
        return removed
