"""The audit log's chains: nobody forks them, and whoever changes what was written is found out."""

import asyncio
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from runtime.ids import new_id
from storage.audit_chain import verify
from storage.engine import Sessions, transaction
from storage.models import AuditChain, AuditEntry, AuditLink, Organization
from storage.models.audit import PLATFORM_CHAIN

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("audit_log", "audit_links", "audit_chains")


def entry(organization_id: UUID | None, number: int = 0) -> AuditEntry:
    return AuditEntry(
        id=new_id(),
        organization_id=organization_id,
        actor="ann",
        action="feature.updated",
        resource_type="feature",
        resource_id=new_id(),
        changes={"name": {"from": "ä", "to": "ß"}, "points": {"from": 1.5, "to": number}},
        details={},
    )


async def write(sessions: Sessions, organization_id: UUID | None, count: int = 1) -> list[UUID]:
    """So many entries, each in a transaction of its own."""
    written = []
    for number in range(count):
        async with transaction(sessions) as session:
            row = entry(organization_id, number)
            session.add(row)
        written.append(row.id)
    return written


@pytest.fixture
async def organization(sessions) -> UUID:
    org = new_id()
    async with transaction(sessions) as session:
        session.add(Organization(id=org, name="Acme", slug=str(org), host_label=str(org)))
    return org


async def tamper(sessions: Sessions, *statements: str, **values: object) -> None:
    """What somebody could do who owns the tables: switch off what keeps them, and change them."""
    async with transaction(sessions) as session:
        for table in TABLES:
            await session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            await session.execute(text(statement), values)
        for table in TABLES:
            await session.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


async def test_each_organization_has_a_chain_and_so_has_the_platform(sessions, organization):
    await write(sessions, organization, 3)
    await write(sessions, None, 2)
    async with transaction(sessions) as session:
        links = select(AuditLink.sequence).where(AuditLink.chain == organization).order_by(AuditLink.sequence)
        assert (await session.scalars(links)).all() == [1, 2, 3]
    for chain, length in ((organization, 3), (PLATFORM_CHAIN, 2)):
        found = await verify(sessions, chain)
        assert (found.fault, found.sequence) == (None, length)


async def test_several_entries_of_one_transaction_are_several_links(sessions, organization):
    async with transaction(sessions) as session:
        session.add_all(entry(organization, number) for number in range(5))
    assert (await verify(sessions, organization)).sequence == 5


async def test_many_at_once_make_one_chain_without_gaps(sessions, organization):
    await asyncio.gather(*(write(sessions, organization, 10) for _ in range(12)))
    found = await verify(sessions, organization)
    assert (found.fault, found.sequence) == (None, 120)


async def test_who_works_long_holds_up_nobody(sessions, organization):
    """The head is locked at commit: an entry written in a transaction that goes on does not lock it."""
    async with transaction(sessions) as slow:
        slow.add(entry(organization))
        await slow.flush()
        async with asyncio.timeout(120):
            await write(sessions, organization, 3)
    found = await verify(sessions, organization)
    assert (found.fault, found.sequence) == (None, 4)


async def test_what_is_rolled_back_leaves_no_gap(sessions, organization):
    await write(sessions, organization)
    async with sessions() as session:
        session.add(entry(organization))
        await session.flush()
        await session.rollback()
    await write(sessions, organization)
    found = await verify(sessions, organization)
    assert (found.fault, found.sequence) == (None, 2)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_log",
        "DELETE FROM audit_links",
        "DELETE FROM audit_chains",
        *(f"TRUNCATE {table} CASCADE" for table in TABLES),
        "UPDATE audit_log SET actor = 'nobody'",
        "UPDATE audit_links SET sequence = sequence + 1",
        "UPDATE audit_chains SET sequence = sequence - 1",
    ],
)
async def test_the_database_keeps_all_of_it(sessions, organization, statement):
    await write(sessions, organization)
    with pytest.raises(DBAPIError, match="append-only"):
        async with transaction(sessions) as session:
            await session.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit_log SET actor = 'bob' WHERE id = :id", "entry 2 (%s) is not what was written"),
        ("""UPDATE audit_log SET changes = '{"name": {}}' WHERE id = :id""", "entry 2 (%s) is not what was written"),
        ("UPDATE audit_links SET hash = '\\x00' WHERE entry_id = :id", "entry 2 (%s) is not what was written"),
        ("UPDATE audit_log SET organization_id = NULL WHERE id = :id", "entry 2 (%s) is missing from the log"),
        ("DELETE FROM audit_links WHERE entry_id = :id", "entry 2 is missing"),
    ],
)
async def test_what_was_changed_is_found(sessions, organization, statement, fault):
    written = await write(sessions, organization, 3)
    await tamper(sessions, statement, id=written[1])
    found = await verify(sessions, organization)
    assert found.sequence == 1
    assert found.fault == (fault % written[1] if "%s" in fault else fault)


async def test_a_whole_entry_taken_out_is_found(sessions, organization):
    written = await write(sessions, organization, 3)
    gone = ("DELETE FROM audit_links WHERE entry_id = :id", "DELETE FROM audit_log WHERE id = :id")
    await tamper(sessions, *gone, id=written[2])
    assert (await verify(sessions, organization)).fault == "entry 3 is missing"


async def test_an_entry_put_in_beside_the_chain_is_found(sessions, organization):
    await write(sessions, organization)
    row = entry(organization)
    async with transaction(sessions) as session:
        await session.execute(text("ALTER TABLE audit_log DISABLE TRIGGER audit_log_chained"))
        session.add(row)
        await session.flush()
        await session.execute(text("ALTER TABLE audit_log ENABLE TRIGGER audit_log_chained"))
    assert (await verify(sessions, organization)).fault == f"audit entry {row.id} is in no chain"


async def test_a_head_that_was_moved_is_found(sessions, organization):
    await write(sessions, organization, 2)
    async with transaction(sessions) as session:
        head = update(AuditChain).where(AuditChain.chain == organization)
        await session.execute(head.values(sequence=AuditChain.sequence + 1))
    assert (await verify(sessions, organization)).fault == "entry 3 is missing"


async def test_the_command_names_the_first_broken_link(sessions, organization, database_url):
    written = await write(sessions, organization, 2)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "storage.audit_chain", "verify", *arguments]
        environment = {"DELIVERY_DATABASE_URL": database_url}
        return subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    only = ("--organization", str(organization))
    whole = await asyncio.to_thread(run, *only)
    assert (whole.returncode, whole.stdout.endswith("whole\n")) == (0, True)
    await tamper(sessions, "UPDATE audit_log SET actor = 'bob' WHERE id = :id", id=written[1])
    broken = await asyncio.to_thread(run)
    assert broken.returncode == 1
    assert f"BROKEN behind entry 1: entry 2 ({written[1]}) is not what was written" in broken.stdout


async def test_the_command_says_that_the_embedded_stack_is_down(tmp_path):
    words = [sys.executable, "-m", "storage.audit_chain", "verify"]
    environment = {"DELIVERY_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)}
    told = await asyncio.to_thread(
        subprocess.run, words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert (told.returncode, told.stdout) == (2, "")
    assert f"the embedded stack on {tmp_path / 'data'} is not up" in told.stderr
    assert "make up" in told.stderr
