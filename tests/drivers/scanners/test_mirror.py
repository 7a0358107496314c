"""Advisories of a mirror: indexed once, followed when it changes, contained when it is broken."""

import asyncio
import json
import os
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.findings import Package, Severity
from drivers.scanners.mirror.advisories import MirrorAdvisories, make_index
from drivers.scanners.mirror.files import MirrorError, mark_of
from drivers.scanners.mirror.index import FORMAT, Index
from drivers.scanners.mirror.indexing import main
from tests.domain.advisories.records import osv
from tests.support.osv import archives, folders
from tests.support.waiting import until

LODASH = Package(ecosystem="npm", name="lodash", version="4.17.15", path="package-lock.json")
JINJA = Package(ecosystem="PyPI", name="Jinja2", version="2.11.2", path="requirements.txt")
ALL = [{"introduced": "0"}]


@pytest.fixture
def mirror(tmp_path) -> Path:
    return archives(tmp_path / "mirror")


async def here(mirror: Path, index: Path) -> str | None:
    """The index, in this process: starting one takes a second."""
    return (await asyncio.to_thread(main, mirror, index)).fault


def of(mirror: Path, **more) -> MirrorAdvisories:
    made = MirrorAdvisories(
        mirror, mirror.parent / "index", **{"max_age_days": 10_000, "fresh_s": 300, "make": here, **more}
    )
    made._share = 0  # the mirror is looked at each time
    return made


def rules(matched) -> list[str]:
    return [each.rule for each in matched.findings]


def write(path: Path, *records: dict) -> None:
    """An archive as it is replaced: aside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path.with_suffix(".new"), "w") as archive:
        for record in records:
            archive.writestr(f"{record['id']}.json", json.dumps(record))
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize("made", [archives, folders])
async def test_findings_of_archives_and_of_folders(tmp_path, made):
    matched = await of(made(tmp_path / "mirror"), make=make_index).match([JINJA, LODASH])
    assert rules(matched) == ["CVE-2020-8203", "CVE-2021-23337", "CVE-2020-28493"]
    assert (matched.fault, matched.notices, matched.as_of) == (None, (), "2025-06-01T12:00:00Z")
    jinja = matched.findings[2]
    assert (jinja.severity, jinja.cvss_score, jinja.fixed_versions) == (Severity.MEDIUM, 5.3, ("2.11.3",))
    assert (jinja.aliases, jinja.location.path) == (("GHSA-g3rq-g295-4j3m", "PYSEC-2021-66"), "requirements.txt")


async def test_an_index_is_made_once(mirror):
    advisories = of(mirror)
    await advisories.match([LODASH])
    made = (mirror.parent / "index" / "index.sqlite").stat()
    await advisories.match([LODASH])
    await of(mirror).match([LODASH])
    assert (mirror.parent / "index" / "index.sqlite").stat().st_ino == made.st_ino


async def test_a_mirror_that_changed_is_followed(mirror):
    advisories = of(mirror)
    await advisories.match([LODASH])
    write(mirror / "npm" / "all.zip", osv("GHSA-new", ALL, name="lodash"))
    assert rules(await advisories.match([LODASH])) == ["GHSA-new"]


async def test_workers_that_come_at_once_share_one_index(mirror):
    found = await asyncio.gather(*(of(mirror, make=make_index).match([LODASH]) for _ in range(2)))
    assert [len(each.findings) for each in found] == [2] * 2
    assert sorted(each.name for each in (mirror.parent / "index").iterdir()) == ["index.lock", "index.sqlite"]


async def test_no_mirror_is_a_fault(tmp_path):
    matched = await of(tmp_path / "missing").match([LODASH])
    assert "there is no such folder" in matched.fault
    (tmp_path / "missing").mkdir()
    assert "holds no advisories" in (await of(tmp_path / "missing").match([LODASH])).fault


async def test_an_ecosystem_that_the_mirror_lacks_is_a_fault_and_the_others_count(mirror):
    shutil.rmtree(mirror / "npm")
    matched = await of(mirror).match([LODASH, JINJA])
    assert matched.fault == "the mirror holds no advisories of npm: 1 packages were not looked at"
    assert rules(matched) == ["CVE-2020-28493"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def page(path: Path) -> None:
    path.write_text("<html>502 Bad Gateway</html>")


@pytest.mark.parametrize("broken", [truncate, flip, empty, page])
async def test_a_broken_archive_leaves_the_last_good_index(mirror, broken):
    advisories = of(mirror)
    good = await advisories.match([LODASH])
    broken(mirror / "npm" / "all.zip")
    matched = await advisories.match([LODASH])
    assert (matched.findings, matched.fault) == (good.findings, None)
    assert "npm/all.zip is no whole zip archive" in matched.notices[0]
    assert "older advisories were used" in matched.notices[0]
    assert (await of(mirror).match([LODASH])).notices == matched.notices  # a worker that starts now


@pytest.mark.parametrize("broken", [truncate, flip, empty, page])
async def test_a_broken_archive_without_an_index_is_a_fault(mirror, broken):
    broken(mirror / "npm" / "all.zip")
    matched = await of(mirror).match([LODASH])
    assert "npm/all.zip is no whole zip archive" in matched.fault
    assert matched.findings == ()


async def test_a_mirror_that_vanishes_leaves_the_last_good_index(mirror):
    advisories = of(mirror)
    await advisories.match([LODASH])
    mirror.rename(mirror.with_name("moved"))
    matched = await advisories.match([LODASH])
    assert (len(matched.findings), matched.fault) == (2, None)
    assert "there is no such folder" in matched.notices[0]


async def test_a_mirror_that_lost_most_is_not_believed(mirror):
    write(mirror / "npm" / "all.zip", *(osv(f"GHSA-{n}", ALL, name="lodash") for n in range(300)))
    advisories = of(mirror)
    assert len((await advisories.match([LODASH])).findings) == 300
    write(mirror / "npm" / "all.zip", *(osv(f"GHSA-{n}", ALL, name="lodash") for n in range(100)))
    matched = await advisories.match([LODASH])
    assert len(matched.findings) == 300
    assert "it holds 100 advisories of npm, and held 300 before" in matched.notices[0]


async def test_files_that_are_no_advisories_are_told_and_the_others_count(mirror):
    odd = mirror / "odd"
    odd.mkdir()
    (odd / "a.json").write_text("{")
    (odd / "b.json").write_bytes(b"[" * 1_000_000)
    (odd / "c.json").write_text(json.dumps(osv("GHSA-c", [{"introduced": "x" * 1000}])))
    (odd / "d.json").write_text(json.dumps(osv("GHSA-d", [{"introduced": f"{n}.0.0"} for n in range(100_000)])))
    (odd / "README.txt").write_text("no advisory")
    (odd / ".fetching.json").write_text("{")
    os.mkfifo(odd / "e.json")
    matched = await of(mirror).match([LODASH])
    assert (len(matched.findings), matched.fault) == (2, None)
    assert matched.notices[0].startswith("4 files of the mirror are no advisories that can be read, as odd/")


async def test_an_old_mirror_is_told(mirror):
    today = datetime(2025, 6, 20, tzinfo=UTC)
    matched = await of(mirror, max_age_days=7, today=lambda: today).match([LODASH])
    assert (len(matched.findings), matched.fault) == (2, None)
    assert matched.notices[0].startswith("the newest advisory of npm is 18 days old")


async def test_an_advisory_of_the_future_does_not_make_a_mirror_new(mirror):
    write(mirror / "more" / "all.zip", osv("GHSA-future", ALL, name="x", modified="2999-01-01T00:00:00Z"))
    assert (await of(mirror).match([LODASH])).as_of == "2025-06-01T12:00:00Z"


async def test_of_two_copies_the_newer_one_counts_also_when_it_was_withdrawn(mirror):
    write(
        mirror / "a" / "all.zip",
        osv("GHSA-x", ALL, name="p", modified="2026-01-02T00:00:00Z", withdrawn="2026-01-02T00:00:00Z"),
    )
    write(mirror / "b" / "all.zip", osv("GHSA-x", ALL, name="p", modified="2026-01-01T00:00:00Z"))
    assert (await of(mirror).match([Package(ecosystem="npm", name="p", version="1.0.0")])).findings == ()


async def test_more_advisories_of_one_package_than_are_looked_at_are_a_fault(mirror):
    write(mirror / "many" / "all.zip", *(osv(f"X-{n}", ALL, name="lodash") for n in range(2_100)))
    matched = await of(mirror).match([LODASH])
    assert "more than 2000 advisories tell of lodash" in matched.fault


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00" + b"\x00" * 5000, b"garbage" * 1000])
async def test_a_broken_index_is_made_anew(mirror, content):
    path = mirror.parent / "index" / "index.sqlite"
    path.parent.mkdir()
    path.write_bytes(content)
    matched = await of(mirror).match([LODASH])
    assert (len(matched.findings), matched.fault) == (2, None)


async def test_a_cut_index_is_a_fault_and_made_anew(mirror):
    advisories = of(mirror)
    await advisories.match([LODASH])
    path = mirror.parent / "index" / "index.sqlite"
    size = path.stat().st_size
    with path.open("r+b") as file:  # all but its first two pages
        file.seek(8192)
        file.write(b"\xff" * (size - 8192))
    matched = await advisories.match([LODASH])
    assert matched.findings == ()
    assert "the index of advisories is broken" in matched.fault
    assert len((await advisories.match([LODASH])).findings) == 2


def test_an_index_of_another_format_is_made_anew(mirror, monkeypatch):
    path = mirror.parent / "index.sqlite"
    assert main(mirror, path).fault is None
    monkeypatch.setattr("drivers.scanners.mirror.index.FORMAT", FORMAT + 1)
    assert Index.open(path) is None


def test_what_a_killed_process_left_is_removed(mirror):
    path = mirror.parent / "index" / "index.sqlite"
    path.parent.mkdir()
    (path.parent / ".index.sqlite.4711.tmp").write_text("half")
    assert main(mirror, path).fault is None
    assert sorted(each.name for each in path.parent.iterdir()) == ["index.lock", "index.sqlite"]


def test_a_mirror_behind_links_is_read_and_a_loop_ends(mirror):
    (mirror / "loop").symlink_to(mirror)
    current = mirror.parent / "current"
    current.symlink_to(mirror)
    assert main(current, mirror.parent / "index.sqlite").fault is None
    assert Index.open(mirror.parent / "index.sqlite").about.counts == {"Go": 11, "Maven": 4, "PyPI": 8, "npm": 6}


def test_the_mark_tells_changes(mirror):
    before = mark_of(mirror)
    assert mark_of(mirror) == before
    os.utime(mirror / "npm" / "all.zip", ns=(1, 1))
    assert mark_of(mirror) != before
    with pytest.raises(MirrorError):
        mark_of(mirror / "missing")


async def test_nothing_to_look_up_is_no_fault(mirror):
    matched = await of(mirror).match([])
    assert (matched.findings, matched.fault) == ((), None)


async def test_the_process_that_makes_the_index_is_ended_with_the_worker(mirror):
    advisories = of(mirror, make=make_index)
    task = asyncio.create_task(advisories.match([LODASH]))
    await until(lambda: advisories._indexing is not None)
    await advisories.close()
    with pytest.raises(asyncio.CancelledError):
        await task
