"""Scans and SBOMs of an organization have so much room; provenance and what runs stay."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update

from domain.build_documents import DocumentKind
from reconcilers.build_room import BuildRoom
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import Build, BuildDocument, BuildFinding, Release, Vulnerability
from storage.repositories.build_documents import BuildDocumentRepository
from storage.repositories.build_room import BuildRoomRepository
from tests.activities.conftest import History, MakeHistory

MIB = 1024 * 1024
DAY = timedelta(days=1)


async def fill(sessions: Sessions, history: History, *, runs: UUID) -> None:
    """Each build has a scan and an SBOM of nearly half a MiB, and a provenance; the first is the oldest."""
    async with transaction(sessions) as session:
        documents = BuildDocumentRepository(session)
        for number, build in enumerate(history.builds):
            for kind in (DocumentKind.SCAN, DocumentKind.CYCLONEDX, DocumentKind.PROVENANCE):
                await documents.put(build, history.organization_id, kind, b"x")
            values = {"content": b"x" * (MIB // 2 - 100), "updated_at": now() - DAY + timedelta(minutes=number)}
            chosen = BuildDocument.build_id == build, BuildDocument.kind != DocumentKind.PROVENANCE
            await session.execute(update(BuildDocument).where(*chosen).values(**values))
            state = "active" if build == runs else "stopped"
            await session.execute(update(Release).where(Release.build_id == build).values(state=state))


async def left(sessions: Sessions, history: History) -> list[int]:
    """How many documents each build has."""
    statement = select(BuildDocument.build_id, func.count()).group_by(BuildDocument.build_id)
    async with transaction(sessions) as session:
        counts = {row[0]: row[1] for row in await session.execute(statement)}
    return [counts.get(build, 0) for build in history.builds]


async def test_the_oldest_go_until_there_is_room(sessions: Sessions, history: MakeHistory) -> None:
    crowded, other = await history(4), await history(2)
    await fill(sessions, crowded, runs=crowded.builds[0])
    await fill(sessions, other, runs=other.builds[1])
    room = BuildRoom(sessions, limit_mb=2)
    assert await room.reconcile() >= 4  # other tests have organizations, too
    assert await left(sessions, crowded) == [3, 1, 1, 3]
    assert await left(sessions, other) == [3, 3]
    assert await room.reconcile() == 0


async def test_what_fails_for_one_organization_is_no_others(
    sessions: Sessions, history: MakeHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = await history(2), await history(2)
    for each in (broken, other):
        await fill(sessions, each, runs=each.builds[1])
    removable = BuildRoomRepository.removable

    async def fails_for_one(rows: BuildRoomRepository, organization_id: UUID, **options: Any) -> Any:
        if organization_id == broken.organization_id:
            raise OSError("the row cannot be read")
        return await removable(rows, organization_id, **options)

    monkeypatch.setattr(BuildRoomRepository, "removable", fails_for_one)
    await BuildRoom(sessions, limit_mb=1).reconcile()
    assert await left(sessions, broken) == [3, 3]
    assert await left(sessions, other) == [1, 3]


async def test_what_was_written_just_now_and_what_is_built_stays(sessions: Sessions, history: MakeHistory) -> None:
    crowded = await history(3)
    await fill(sessions, crowded, runs=uuid4())
    first, second, _ = crowded.builds
    async with transaction(sessions) as session:
        await session.execute(update(BuildDocument).where(BuildDocument.build_id == first).values(updated_at=now()))
        await session.execute(update(Build).where(Build.id == second).values(status="running"))
    assert await BuildRoom(sessions, limit_mb=1).reconcile() >= 2
    assert await left(sessions, crowded) == [3, 3, 1]


async def test_of_too_many_findings_those_of_the_oldest_builds_are_forgotten(
    sessions: Sessions, history: MakeHistory
) -> None:
    crowded = await history(3)
    await fill(sessions, crowded, runs=crowded.builds[0])
    async with transaction(sessions) as session:
        for number, build in enumerate(crowded.builds):
            made = now() - DAY + timedelta(minutes=number)
            await session.execute(update(Build).where(Build.id == build).values(created_at=made))
        row = weakness(crowded, "0")
        session.add(row)
        await session.flush()
        ids = {"vulnerability_id": row.id, "organization_id": crowded.organization_id}
        session.add_all(BuildFinding(build_id=build, **ids) for build in crowded.builds)
    assert await BuildRoom(sessions, limit_mb=100, max_findings=2).reconcile() >= 2
    async with transaction(sessions) as session:
        kept = list(await session.scalars(select(BuildFinding.build_id).where(BuildFinding.vulnerability_id == row.id)))
        assert await session.get(Vulnerability, row.id)
    assert kept == [crowded.builds[0]]


async def test_of_too_many_fixed_ones_the_oldest_that_nobody_decided_about_are_forgotten(
    sessions: Sessions, history: MakeHistory
) -> None:
    crowded = await history(1)
    async with transaction(sessions) as session:
        rows = [weakness(crowded, digit) for digit in "01234"]
        for number, row in enumerate(rows):
            row.status, row.fixed_at = ("fixed" if number else "open"), now() - timedelta(days=10 - number)
        rows[1].triaged_at = now()
        session.add_all(rows)
    assert await BuildRoom(sessions, limit_mb=100, max_fixed=2).reconcile() >= 2
    async with transaction(sessions) as session:
        statement = select(Vulnerability.id).where(Vulnerability.project_id == crowded.project_id)
        assert set(await session.scalars(statement)) == {rows[0].id, rows[1].id, rows[4].id}


def weakness(history: History, digit: str) -> Vulnerability:
    return Vulnerability(
        id=new_id(),
        organization_id=history.organization_id,
        project_id=history.project_id,
        fingerprint=digit * 64,
        kind="code",
        tool="bandit",
        rule="B602",
        severity_rank=4,
        title="shell",
        description="",
        first_build_id=history.builds[0],
        last_build_id=history.builds[-1],
        last_seen_at=now(),
        detected_at=now(),
    )
