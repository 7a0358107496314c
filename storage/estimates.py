"""The planner's estimates for a statement, without running it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable


class Explain(Executable, ClauseElement):
    """`EXPLAIN` of a statement, as JSON; `measure` runs it and counts buffers."""

    inherit_cache = False

    def __init__(self, statement: Select[Any], *, measure: bool = False) -> None:
        self.statement = statement
        self.wanted = "ANALYZE, BUFFERS, FORMAT JSON" if measure else "FORMAT JSON"


@compiles(Explain, "postgresql")
def _explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN ({element.wanted}) {compiler.process(element.statement, **options)}"


async def explain(session: AsyncSession, statement: Select[Any], *, measure: bool = False) -> dict[str, Any]:
    """The plan of a statement; `Plan Rows` is the estimate for its topmost node."""
    found: Sequence[dict[str, Any]] = (await session.execute(Explain(statement, measure=measure))).scalar_one()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


async def planned_rows(session: AsyncSession, statement: Select[Any]) -> int:
    """The planner's estimated number of rows, from the statistics of the last ANALYZE."""
    return int((await explain(session, statement))["Plan Rows"])
