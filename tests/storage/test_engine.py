"""What a transaction makes of the database's refusals."""

from typing import Any

import pytest
from sqlalchemy import Select, func, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB

from domain.errors import ConflictError, DependencyError, ErrorCode, UnknownOutcomeError
from domain.foreign_text import storable
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Project


async def test_a_row_whose_parent_is_gone_is_a_conflict(sessions):
    orphan = Project(id=new_id(), organization_id=new_id(), name="a", slug="a", host_label="a", repository_url="a")
    with pytest.raises(ConflictError) as refused:
        async with transaction(sessions) as session:
            session.add(orphan)
    assert refused.value.code is ErrorCode.CONFLICT
    assert "deleted" in refused.value.message


@pytest.mark.parametrize("foreign", ["a\0b", "a\ud800b", "\udfff", "\\u0000", "\\\0", "ordinary"])
async def test_what_jsonb_cannot_hold_is_kept_as_replacement_characters(sessions, foreign):
    value = {"text": foreign, foreign: [foreign]}
    async with transaction(sessions) as session:
        back = await session.scalar(select(literal(value, JSONB)))
    kept = storable(foreign)
    assert back == {"text": kept, kept: [kept]}


async def carry_out(sessions: Sessions, limit: str, statement: Select[Any]) -> None:
    """Within 20 ms, or not at all."""
    async with transaction(sessions) as session:
        await session.execute(select(func.set_config(limit, "20", True)))
        await session.execute(statement)


async def test_a_statement_that_takes_too_long_is_a_timeout(sessions):
    with pytest.raises(DependencyError) as refused:
        await carry_out(sessions, "statement_timeout", select(func.pg_sleep(30)))
    assert (refused.value.code, refused.value.retry_after_s > 0) == (ErrorCode.TIMEOUT, True)


async def test_a_lock_that_does_not_come_free_is_a_timeout(sessions):
    lock = select(func.pg_advisory_xact_lock(20250101))
    async with transaction(sessions) as holder:
        await holder.execute(lock)
        with pytest.raises(DependencyError) as refused:
            await carry_out(sessions, "lock_timeout", lock)
    assert refused.value.code is ErrorCode.TIMEOUT


async def test_a_full_disk_of_the_database_is_reported_as_that(sessions):
    with pytest.raises(DependencyError, match="no room left on its disk"):
        async with transaction(sessions) as session:
            await session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$"))


BROKEN = "SELECT pg_terminate_backend(pg_backend_pid())"


AT_COMMIT = (
    "CREATE TEMP TABLE told (x int)",
    f"CREATE FUNCTION pg_temp.die() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM {BROKEN[7:]}; END'",
    (
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON told DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION pg_temp.die()"
    ),
    "INSERT INTO told VALUES (1)",
)


async def write(sessions: Sessions, *statements: str) -> None:
    async with transaction(sessions) as session:
        for statement in statements:
            await session.execute(text(statement))


async def test_a_connection_that_breaks_before_the_commit_leaves_no_doubt(sessions):
    with pytest.raises(DependencyError) as broken:
        await write(sessions, BROKEN)
    assert (type(broken.value), broken.value.code) == (DependencyError, ErrorCode.SERVICE_UNAVAILABLE)


async def test_a_connection_that_breaks_during_the_commit_leaves_one(sessions):
    """It said 503, which says that nothing was applied."""
    with pytest.raises(UnknownOutcomeError, match="same Idempotency-Key") as broken:
        await write(sessions, *AT_COMMIT)
    assert broken.value.code is ErrorCode.TIMEOUT
