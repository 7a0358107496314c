"""Artifacts of an organization have so much room; what runs or may run again is never removed for it."""

import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from domain.errors import ErrorCode, TerminalError
from drivers.artifacts.folder import FolderArtifactStore
from reconcilers.artifact_quota import ArtifactQuota
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.models import Build, Operation, Release
from tests.activities.conftest import MakeHistory

MIB = 1024 * 1024


async def stored(store: FolderArtifactStore, root: Path, name: str) -> str:
    tree = root / name
    tree.mkdir()
    (tree / "file").write_text(name)
    digest = (await store.store(tree)).digest
    old = time.time() - timedelta(days=2).total_seconds()
    os.utime(root / "artifacts" / "sha256" / f"{digest.removeprefix('sha256:')}.tar", (old, old))
    return digest


async def have(sessions: Sessions, builds: dict[UUID, str], *, days: int = 2) -> None:
    """Each build has its artifact, of 1 MiB, made some days ago."""
    async with transaction(sessions) as session:
        for number, (build, digest) in enumerate(builds.items()):
            made = now() - timedelta(days=days) + timedelta(minutes=number)
            values = {"artifact_digest": digest, "artifact_size_bytes": MIB, "created_at": made}
            await session.execute(update(Build).where(Build.id == build).values(**values))
            await session.execute(update(Release).where(Release.build_id == build).values(artifact_digest=digest))
        await session.execute(update(Operation).values(completed_at=now()))


async def left(store: FolderArtifactStore, digests: list[str]) -> list[bool]:
    return [await store.exists(digest) for digest in digests]


async def test_what_somebody_has_just_stored_anew_stays(tmp_path: Path) -> None:
    """Another organization builds the same content while the old one is about to be removed."""
    store = FolderArtifactStore(tmp_path / "artifacts")
    digest = await stored(store, tmp_path, "same")
    assert (await store.store(tmp_path / "same")).digest == digest
    assert not await store.remove(digest, older_than_s=3600)
    assert await store.exists(digest)
    assert await store.remove(digest)
    assert await store.remove(digest, older_than_s=3600)  # gone is gone
    assert not await store.exists(digest)


async def test_the_oldest_that_nobody_needs_go_until_there_is_room(
    sessions: Sessions, history: MakeHistory, tmp_path: Path
) -> None:
    crowded, other = await history(14), await history(1)
    store = FolderArtifactStore(tmp_path / "artifacts")
    digests = [await stored(store, tmp_path, f"v{n}") for n in range(14)]
    await have(sessions, dict(zip(crowded.builds, digests, strict=True)))
    await have(sessions, {other.builds[0]: digests[1]})  # shared with another organization
    async with transaction(sessions) as session:
        # All but the first four may be gone back to; of these the last is still kept up, the others are over.
        for number, release in enumerate(crowded.releases):
            state = "stopped" if number < 3 else "retired"
            made = now() - timedelta(days=2) + timedelta(minutes=number)
            await session.execute(update(Release).where(Release.id == release).values(state=state, created_at=made))
    room = ArtifactQuota(sessions, store, 13)
    with pytest.raises(TerminalError) as refused:
        await room.check(str(crowded.organization_id))
    assert refused.value.code is ErrorCode.QUOTA_EXCEEDED
    assert await room.reconcile() == 1
    assert await left(store, digests) == [False] + [True] * 13
    await room.check(str(crowded.organization_id))
    assert await room.reconcile() == 0

    tight = ArtifactQuota(sessions, store, 1)
    assert (
        await tight.reconcile() == 1
    )  # the third: the second is another's too, the fourth is up, the last ten may return
    assert await left(store, digests) == [False, True, False] + [True] * 11
    with pytest.raises(TerminalError):
        await tight.check(str(crowded.organization_id))


async def test_what_was_built_today_stays(sessions: Sessions, history: MakeHistory, tmp_path: Path) -> None:
    found = await history(12)
    store = FolderArtifactStore(tmp_path / "artifacts")
    digests = [await stored(store, tmp_path, f"v{n}") for n in range(12)]
    await have(sessions, dict(zip(found.builds, digests, strict=True)), days=0)
    async with transaction(sessions) as session:
        await session.execute(update(Release).values(state="stopped"))
    assert await ArtifactQuota(sessions, store, 1).reconcile() == 0
    assert all(await left(store, digests))
