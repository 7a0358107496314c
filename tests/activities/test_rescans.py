"""What is live, compared with what became known since, on the real database."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import select
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import rescans
from activities.rescans import RescanActivities
from activities.scans import document_of
from contracts.rescans import RescannedPage, RescanPage
from domain.build_documents import DocumentKind
from domain.findings import Finding, Package, ScanResult, Severity
from drivers.scanners.advisories import NOT_SET_UP, Matched, NoAdvisories
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Build, Event, Release, Vulnerability
from storage.repositories.build_documents import BuildDocumentRepository
from tests.activities.conftest import History
from tests.support.findings import code_finding, finding, record_scan


@dataclass
class Known:
    """Advisories that know of these, by package."""

    of: dict[str, Finding] = field(default_factory=dict)
    fault: Callable[[tuple[Package, ...]], str | None] = lambda _: None

    async def match(self, packages: tuple[Package, ...]) -> Matched:
        found = tuple(self.of[package.name] for package in packages if package.name in self.of)
        return Matched(findings=found, as_of="2026-12-01T00:00:00Z", fault=self.fault(packages))


async def scanned(sessions: Sessions, live: History, *names: str) -> UUID:
    """The live build was scanned when it was made, and has these packages; that they are weak nobody knew."""
    build = live.builds[-1]
    packages = tuple(finding(name=name).package for name in names)
    await record_scan(sessions, build, code_finding())
    async with transaction(sessions) as session:
        document = document_of(ScanResult(packages=packages))
        await BuildDocumentRepository(session).put(build, live.organization_id, DocumentKind.SCAN, document)
    return build


async def page(sessions: Sessions, advisories, after: UUID | None = None) -> RescannedPage:
    return await ActivityEnvironment().run(RescanActivities(advisories, sessions).page, RescanPage(after=after))


async def all_pages(sessions: Sessions, advisories) -> list[RescannedPage]:
    pages = [await page(sessions, advisories)]
    while pages[-1].next:
        pages.append(await page(sessions, advisories, pages[-1].next))
    return pages


async def vulnerabilities(sessions: Sessions, project_id: UUID) -> list[Vulnerability]:
    async with transaction(sessions) as session:
        return list(await session.scalars(select(Vulnerability).where(Vulnerability.project_id == project_id)))


async def told(sessions: Sessions, live: History) -> list[dict]:
    async with transaction(sessions) as session:
        statement = select(Event.payload).where(
            Event.project_id == live.project_id, Event.type == "vulnerability.detected"
        )
        return [payload["vulnerability"] for payload in await session.scalars(statement.order_by(Event.sequence))]


@pytest.fixture(autouse=True)
async def alone(sessions: Sessions) -> None:
    """What other tests left is not live any more."""
    async with transaction(sessions) as session:
        for release in await session.scalars(select(Release).where(Release.state == "active")):
            release.state = "stopped"


async def test_what_became_known_is_told_once_with_the_live_release(sessions, history):
    live = await history(2)
    build = await scanned(sessions, live, "requests", "flask")
    known = Known({"requests": finding()})
    assert (await page(sessions, known)) == RescannedPage(builds=1, detected=1)
    assert (await page(sessions, known)) == RescannedPage(builds=1, detected=0)
    [code, new] = await told(sessions, live)
    assert (code["rule"], new["rule"]) == ("B602", "GHSA-9hjg-9r4m-mvj7")
    [affected] = new["affected_releases"]
    assert affected.items() >= {"environment": "dev", "build_id": str(build), "version_tag": "1.0.2"}.items()
    async with transaction(sessions) as session:
        row = await session.get_one(Build, build)
    assert (row.vulnerabilities["high"], row.vulnerabilities["medium"]) == (1, 1)


async def test_what_the_advisories_take_back_is_fixed_and_what_others_found_stays(sessions, history):
    live = await history(1)
    await scanned(sessions, live, "requests")
    await page(sessions, Known({"requests": finding()}))
    await page(sessions, Known())
    states = {row.rule: row.status for row in await vulnerabilities(sessions, live.project_id)}
    assert states == {"GHSA-9hjg-9r4m-mvj7": "fixed", "B602": "open"}


async def test_a_build_that_is_not_live_is_left_alone(sessions, history):
    live = await history(2)
    async with transaction(sessions) as session:
        document = document_of(ScanResult(packages=(finding().package,)))
        old = live.builds[0]
        await BuildDocumentRepository(session).put(old, live.organization_id, DocumentKind.SCAN, document)
    assert (await page(sessions, Known({"requests": finding()}))).detected == 0


async def test_one_bad_project_does_not_stop_the_others(sessions, history):
    bad, good = await history(1), await history(1)
    for live in (bad, good):
        await scanned(sessions, live, "requests")
    async with transaction(sessions) as session:
        document = b'{"packages": 7}'
        await BuildDocumentRepository(session).put(bad.builds[-1], bad.organization_id, DocumentKind.SCAN, document)
    assert await page(sessions, Known({"requests": finding()})) == RescannedPage(builds=2, detected=1, failed=1)


async def test_pages_go_through_all_organizations(sessions, history, monkeypatch):
    monkeypatch.setattr(rescans, "PAGE", 2)
    lives = [await history(1) for _ in range(5)]
    for live in lives:
        await scanned(sessions, live, "requests")
    pages = await all_pages(sessions, Known({"requests": finding(severity=Severity.CRITICAL)}))
    assert [one.builds for one in pages] == [2, 2, 1]
    assert sum(one.detected for one in pages) == 5
    assert await page(sessions, Known(), after=new_id()) == RescannedPage()


async def test_advisories_that_are_away_are_asked_again(sessions, history):
    live = await history(1)
    await scanned(sessions, live, "requests")
    with pytest.raises(ApplicationError, match="the mirror is half written") as caught:
        await page(sessions, Known(fault=lambda _: "the mirror is half written"))
    assert not caught.value.non_retryable
    assert [row.status for row in await vulnerabilities(sessions, live.project_id)] == ["open"]


async def test_what_is_known_of_a_part_counts_and_proves_nothing_of_the_rest(sessions, history):
    live = await history(1)
    await scanned(sessions, live, "requests", "flask")
    both = {"requests": finding(), "flask": finding("GHSA-flask", name="flask")}
    await page(sessions, Known(both))
    del both["flask"]
    other = await history(1)
    await scanned(sessions, other, "django")
    partly = Known(both, fault=lambda packages: "no advisories of npm" if packages[0].name == "requests" else None)
    assert await page(sessions, partly) == RescannedPage(builds=2, detected=0, failed=1)
    states = {row.rule: row.status for row in await vulnerabilities(sessions, live.project_id)}
    assert states["GHSA-flask"] == "open"


async def test_without_advisories_it_says_so(sessions, history):
    live = await history(1)
    await scanned(sessions, live, "requests")
    assert await page(sessions, NoAdvisories()) == RescannedPage(skipped=NOT_SET_UP)
