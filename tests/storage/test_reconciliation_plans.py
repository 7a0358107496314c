"""Reconcilers ask the database every few seconds: no query may read all rows that ever were."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, text

from storage.engine import Sessions, transaction
from storage.repositories.reconciliation import KeepingRepository

QUESTIONS: dict[str, tuple[Callable[[KeepingRepository], Awaitable[Any]], set[str]]] = {
    "abandoned": (KeepingRepository.abandoned, {"ix_releases_state", "ix_operations_open"}),
    "deserted": (KeepingRepository.deserted, {"ix_operations_open"}),
    "overdue": (lambda rows: rows.overdue(late_s=1), {"ix_releases_state", "ix_operations_open"}),
}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_query_of_the_reconcilers_can_be_answered_by_indexes(sessions: Sessions, name: str) -> None:
    ask, wanted = QUESTIONS[name]
    asked: list[tuple[str, Any]] = []
    async with transaction(sessions) as session:
        connection = (await session.connection()).sync_connection
        assert connection is not None

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", note)
        await ask(KeepingRepository(session))
        event.remove(connection, "before_cursor_execute", note)
        [(statement, parameters)] = asked
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin"):
            await session.execute(text(f"SET LOCAL {setting} = off"))
        raw = await session.connection()
        plan = "\n".join(row[0] for row in await raw.exec_driver_sql(f"EXPLAIN {statement}", parameters))
    assert {index for index in wanted if index in plan} == wanted, plan
