"""Re-scans: the packages of live builds, as their scan stored them, compared with today's advisories."""

from dataclasses import dataclass
from uuid import UUID

import structlog

from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.scans import stored_scan
from contracts.rescans import RESCAN_PAGE, RescannedPage, RescanPage
from contracts.stubs import implements
from domain.errors import DependencyError
from drivers.scanners.advisories import NOT_SET_UP, TOOL, Advisories, Matched
from storage.engine import Sessions, transaction
from storage.repositories.live_releases import LiveReleases
from storage.repositories.scan_records import Scanned, ScanRecordRepository

log = structlog.get_logger(__name__)

# Builds of one activity: some seconds of work, after which another worker may go on.
PAGE = 20


@dataclass(frozen=True)
class Compared:
    """How many vulnerabilities of a build are new. `away`: why it is not known of all of its packages."""

    detected: int = 0
    away: str | None = None
    is_broken: bool = False

    @property
    def is_whole(self) -> bool:
        return self.away is None and not self.is_broken


class RescanActivities:
    """Compares; the findings are written, and told, as those of a scan are."""

    def __init__(self, advisories: Advisories, sessions: Sessions) -> None:
        self._advisories = advisories
        self._sessions = sessions

    @implements(RESCAN_PAGE)
    @translate_errors
    async def page(self, request: RescanPage) -> RescannedPage:
        async with heartbeating():
            async with transaction(self._sessions) as session:
                builds = await LiveReleases(session).builds(request.after, PAGE)
            compared = [await self._compare(build_id) for build_id in builds]
        away = [one.away for one in compared if one.away is not None]
        if NOT_SET_UP in away:
            return RescannedPage(skipped=NOT_SET_UP)
        if away and not any(one.is_whole for one in compared):
            raise DependencyError(f"live builds were not compared with advisories: {away[0]}")
        if away:
            log.warning("rescan.incomplete", builds=len(away), reason=away[0])
        detected, failed = sum(one.detected for one in compared), sum(not one.is_whole for one in compared)
        following = builds[-1] if len(builds) == PAGE else None
        log.info("rescan.page", builds=len(builds), detected=detected, failed=failed)
        return RescannedPage(builds=len(builds), detected=detected, failed=failed, next=following)

    async def _compare(self, build_id: UUID) -> Compared:
        try:
            return await self._compared(build_id)
        except DependencyError:
            raise
        except Exception:  # of one build: the others are looked at all the same
            log.exception("rescan.build_failed", build_id=str(build_id))
            return Compared(is_broken=True)

    async def _compared(self, build_id: UUID) -> Compared:
        async with transaction(self._sessions) as session:
            scan = await stored_scan(session, build_id)
        if scan is None or not scan.packages:
            return Compared()
        matched: Matched = await self._advisories.match(scan.packages)
        tools = frozenset[str]() if matched.fault else frozenset({TOOL})
        if not tools and not matched.findings:
            return Compared(away=matched.fault)
        async with transaction(self._sessions) as session:
            kept = await ScanRecordRepository(session).record(build_id, Scanned(matched.findings, tools, cut=None))
        return Compared(kept.detected, matched.fault)
