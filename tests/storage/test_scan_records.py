"""What scans find, on the real database: once for each weakness of a project, however often it is found."""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import timedelta
from types import FrameType
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from domain.events import EventType
from domain.findings import Finding, Severity
from domain.vulnerabilities import TOLD_AT_ONCE
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import Build, BuildFinding, Event, Organization, Project, Requirement, Vulnerability
from storage.models import Feature as FeatureRow
from storage.repositories.scan_records import Kept, ScanRecordRepository
from tests.support.findings import code_finding, finding, record_scan


@pytest.fixture
async def builds(sessions: Sessions) -> list[UUID]:
    """Three builds of a project, oldest first."""
    org, project, requirement, feature = (new_id() for _ in range(4))
    shared = {"organization_id": org, "project_id": project}
    rows = [
        Organization(id=org, name="Acme", slug=str(org), host_label=str(org)),
        Project(id=project, organization_id=org, name="Shop", slug="shop", host_label="shop", repository_url="x"),
        Requirement(id=requirement, **shared, title="t", description="d", created_by="me"),
        FeatureRow(id=feature, **shared, requirement_id=requirement, name="f", description="d"),
    ]
    ids = [new_id() for _ in range(3)]
    rows += [
        Build(
            id=build,
            **shared,
            feature_id=feature,
            provenance="executed",
            build_number=number,
            version_tag=f"1.0.{number}",
            git_commit_hash="0" * 40,
            git_branch="main",
            status="running",
        )
        for number, build in enumerate(ids, 1)
    ]
    async with transaction(sessions) as session:
        for row in rows:
            session.add(row)
            await session.flush()
    return ids


async def known(sessions: Sessions, build: UUID) -> dict[str, Vulnerability]:
    """Vulnerabilities of the build's project, by rule."""
    async with transaction(sessions) as session:
        project = (await session.get_one(Build, build)).project_id
        rows = await session.scalars(select(Vulnerability).where(Vulnerability.project_id == project))
        return {row.rule: row for row in rows}


async def told(sessions: Sessions, build: UUID) -> list[Event]:
    async with transaction(sessions) as session:
        organization = (await session.get_one(Build, build)).organization_id
        statement = select(Event).where(
            Event.organization_id == organization, Event.type == EventType.VULNERABILITY_DETECTED
        )
        return list(await session.scalars(statement.order_by(Event.sequence)))


async def change(sessions: Sessions, rule: str, build: UUID, **values) -> None:
    async with transaction(sessions) as session:
        project = (await session.get_one(Build, build)).project_id
        of_it = update(Vulnerability).where(Vulnerability.project_id == project, Vulnerability.rule == rule)
        await session.execute(of_it.values(**values))


async def test_a_weakness_is_known_once_over_builds_and_repeated_activities(sessions, builds):
    first, second, _ = builds
    for build, version in ((first, "2.19.0"), (first, "2.19.0"), (second, "2.20.0")):
        await record_scan(sessions, build, finding(version=version), code_finding())
    rows = await known(sessions, first)
    assert set(rows) == {"GHSA-9hjg-9r4m-mvj7", "B602"}
    row = rows["GHSA-9hjg-9r4m-mvj7"]
    assert (row.first_build_id, row.last_build_id, row.package_version) == (first, second, "2.20.0")
    async with transaction(sessions) as session:
        found = select(BuildFinding.build_id, BuildFinding.package_version).where(
            BuildFinding.vulnerability_id == row.id
        )
        assert dict((await session.execute(found)).all()) == {first: "2.19.0", second: "2.20.0"}
        build = await session.get_one(Build, first)
        assert build.vulnerabilities.items() >= {"critical": 0, "high": 1, "medium": 1, "low": 0}.items()
    events = await told(sessions, first)
    assert [event.payload["vulnerability"]["rule"] for event in events] == ["GHSA-9hjg-9r4m-mvj7", "B602"]


async def test_two_builds_at_once_find_the_same_one_once(sessions, builds):
    many = [finding(f"GHSA-{number}", name=f"p{number}") for number in range(20)]
    await asyncio.gather(*(record_scan(sessions, build, *many) for build in (*builds, *builds)))
    assert len(await known(sessions, builds[0])) == 20
    assert len(await told(sessions, builds[0])) == 20


async def test_what_the_newest_build_has_no_more_is_fixed_and_open_again_when_it_comes_back(sessions, builds):
    first, second, third = builds
    await record_scan(sessions, first, finding(), code_finding())
    await record_scan(sessions, second, code_finding())
    row = (await known(sessions, first))["GHSA-9hjg-9r4m-mvj7"]
    assert (row.status, row.fixed_number) == ("fixed", 2)
    await record_scan(sessions, first, finding(), code_finding())  # the old build still has it: that is no news
    assert (await known(sessions, first))["GHSA-9hjg-9r4m-mvj7"].status == "fixed"
    await record_scan(sessions, third, finding(), code_finding())
    row = (await known(sessions, first))["GHSA-9hjg-9r4m-mvj7"]
    assert (row.status, row.fixed_at) == ("open", None)
    assert row.reopened_at == row.detected_at == row.told_at
    events = await told(sessions, first)
    assert [event.payload["vulnerability"]["rule"] for event in events].count("GHSA-9hjg-9r4m-mvj7") == 2
    assert events[-1].payload["vulnerability"]["reopened_at"]


async def test_a_tool_that_did_not_run_fixes_nothing(sessions, builds):
    await record_scan(sessions, builds[0], finding(), code_finding())
    await record_scan(sessions, builds[1], tools=("bandit",))
    rows = await known(sessions, builds[0])
    assert {rule: row.status for rule, row in rows.items()} == {"GHSA-9hjg-9r4m-mvj7": "open", "B602": "fixed"}


async def test_a_build_that_is_older_than_the_newest_scanned_one_fixes_nothing(sessions, builds):
    await record_scan(sessions, builds[2], finding())
    await record_scan(sessions, builds[0])
    assert (await known(sessions, builds[0]))["GHSA-9hjg-9r4m-mvj7"].status == "open"


async def test_what_is_suppressed_stays_so_over_fixes_and_is_no_event(sessions, builds):
    await record_scan(sessions, builds[0], finding())
    until = now() + timedelta(days=1)
    await change(
        sessions,
        "GHSA-9hjg-9r4m-mvj7",
        builds[0],
        status="suppressed",
        suppressed_until=until,
        suppression_reason="not_affected",
    )
    await record_scan(sessions, builds[1])
    await record_scan(sessions, builds[2], finding())
    row = (await known(sessions, builds[0]))["GHSA-9hjg-9r4m-mvj7"]
    assert (row.status, row.suppressed_until) == ("suppressed", until)
    assert len(await told(sessions, builds[0])) == 1
    async with transaction(sessions) as session:
        assert await ScanRecordRepository(session).suppressed(row.project_id) == {row.fingerprint}


async def test_a_suppression_of_a_lesser_one_does_not_hold_for_a_worse_one(sessions, builds):
    await record_scan(sessions, builds[0], finding(severity=Severity.MEDIUM))
    later = now() + timedelta(days=1)
    await change(sessions, "GHSA-9hjg-9r4m-mvj7", builds[0], status="suppressed", suppressed_until=later)
    await record_scan(sessions, builds[1], finding(severity=Severity.CRITICAL))
    row = (await known(sessions, builds[0]))["GHSA-9hjg-9r4m-mvj7"]
    assert (row.status, row.suppressed_until) == ("open", None)


async def test_an_expired_suppression_ends_by_the_clock_alone(sessions, builds):
    await record_scan(sessions, builds[0], finding())
    past = now() - timedelta(seconds=1)
    await change(sessions, "GHSA-9hjg-9r4m-mvj7", builds[0], status="suppressed", suppressed_until=past)
    async with transaction(sessions) as session:
        project = (await session.get_one(Build, builds[0])).project_id
        assert await ScanRecordRepository(session).suppressed(project) == frozenset()


async def test_texts_of_strangers_are_kept_as_far_as_they_can_be(sessions, builds):
    odd = finding(
        title="a\x00b\x1b[31m\u202ered",
        description="x\x00" * 1000,
        links=("https://example.com/\x00",),
        name="p\x00kg",
    )
    await record_scan(sessions, builds[0], odd)
    row = (await known(sessions, builds[0]))["GHSA-9hjg-9r4m-mvj7"]
    assert not {"\x00", "\x1b", "\u202e"} & set(row.title + row.description + row.package + row.links[0])


async def test_of_a_large_scan_the_worst_are_told_at_once_and_the_others_by_and_by(sessions, builds):
    low = [finding(f"GHSA-{n:04}", Severity.LOW, name=f"p{n}") for n in range(TOLD_AT_ONCE + 50)]
    await record_scan(sessions, builds[0], *low, finding("GHSA-bad", Severity.CRITICAL))
    events = await told(sessions, builds[0])
    assert len(events) == TOLD_AT_ONCE
    assert events[0].payload["vulnerability"]["rule"] == "GHSA-bad"
    async with transaction(sessions) as session:
        assert await ScanRecordRepository(session).tell_more(30) == 30
    while True:
        async with transaction(sessions) as session:
            if not await ScanRecordRepository(session).tell_more(30):
                break
    events = await told(sessions, builds[0])
    assert len({event.resource_id for event in events}) == len(events) == TOLD_AT_ONCE + 51


async def test_counts_are_true_of_what_was_cut(sessions, builds):
    await record_scan(sessions, builds[0], finding(), cut={Severity.LOW: 90_000})
    await record_scan(sessions, builds[0], finding(), tools=("advisories",), cut={Severity.LOW: 90_000})
    async with transaction(sessions) as session:
        build = await session.get_one(Build, builds[0])
        assert (build.vulnerabilities["high"], build.vulnerabilities["low"]) == (1, 90_000)
        assert await session.scalar(select(func.count()).where(BuildFinding.build_id == builds[0])) == 1


async def scanned(sessions: Sessions, build: UUID, *findings: Finding) -> Kept:
    return await record_scan(sessions, build, *findings, tools=("advisories",))


async def test_a_cve_that_becomes_known_later_is_no_new_finding_and_loses_no_suppression(sessions, builds):
    await scanned(sessions, builds[0], finding("PYSEC-2026-1", aliases=("GHSA-1",)))
    until = now() + timedelta(days=1)
    values = {"status": "suppressed", "suppressed_until": until, "suppression_reason": "not_affected", "note": "seen"}
    await change(sessions, "PYSEC-2026-1", builds[0], **values)
    before = (await known(sessions, builds[0]))["PYSEC-2026-1"]
    for build in builds:
        kept = await scanned(sessions, build, finding("CVE-2026-7", aliases=("GHSA-1", "PYSEC-2026-1")))
        assert (kept.ids, kept.detected) == ({before.fingerprint: before.id}, 0)
        assert [one.fingerprint for one in kept.findings] == [before.fingerprint]
    [row] = (await known(sessions, builds[0])).values()
    assert (row.id, row.rule, row.status, row.note) == (before.id, "CVE-2026-7", "suppressed", "seen")
    assert len(await told(sessions, builds[0])) == 1
    # a mirror that does not know the CVE any more
    kept = await scanned(sessions, builds[2], finding("GHSA-1", aliases=()))
    assert (list(kept.ids.values()), kept.detected) == ([before.id], 0)


@pytest.mark.parametrize("decided", ["GHSA-1", "PYSEC-1"])
async def test_two_that_turn_out_to_be_one_weakness_keep_what_was_decided_of_either(sessions, builds, decided):
    await scanned(sessions, builds[0], finding("GHSA-1", aliases=()), finding("PYSEC-1", aliases=()))
    until = now() + timedelta(days=1)
    await change(sessions, decided, builds[0], status="suppressed", suppressed_until=until)
    own = (await known(sessions, builds[0]))[decided].id
    for build in (builds[0], builds[1]):
        kept = await scanned(sessions, build, finding("CVE-1", aliases=("GHSA-1", "PYSEC-1")))
        assert (list(kept.ids.values()), kept.detected) == ([own], 0)
    rows = (await known(sessions, builds[0])).values()
    assert sorted((row.rule == "CVE-1", row.status) for row in rows) == [(False, "fixed"), (True, "suppressed")]
    async with transaction(sessions) as session:
        assert (await session.get_one(Build, builds[0])).vulnerabilities["high"] == 1
    assert len(await told(sessions, builds[0])) == 2


async def test_an_alias_of_another_package_is_another_weakness(sessions, builds):
    await scanned(sessions, builds[0], finding("CVE-1", name="Flask_Cors", aliases=()))
    kept = await scanned(sessions, builds[1], finding("GHSA-1", name="flask-cors", aliases=("CVE-1",)))
    assert kept.detected == 0
    kept = await scanned(sessions, builds[2], finding("GHSA-1", name="flask", aliases=("CVE-1",)))
    assert kept.detected == 1


async def test_many_findings_leave_the_workers_other_builds_their_turn(sessions, builds):
    """The loop's longest work without a pause is that of 200 rows, however many there are."""
    many = [finding(f"GHSA-{n:04}", name=f"p{n}", description="x" * 4000) for n in range(2_000)]
    portion = await longest(scanned(sessions, builds[2], *many[:200]))
    new = await longest(scanned(sessions, builds[0], *many))
    again = await longest(scanned(sessions, builds[1], *many))
    assert max(new, again) < 3 * portion


async def longest(work: Coroutine[Any, Any, Kept]) -> int:
    """The most calls of Python functions between two turns of the loop: CPU seconds would count the collector's."""
    calls = worst = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    running = asyncio.create_task(work)
    sys.setprofile(count)
    try:
        while not running.done():
            calls = 0
            await asyncio.sleep(0)
            worst = max(worst, calls)
    finally:
        sys.setprofile(None)
    await running
    return worst
