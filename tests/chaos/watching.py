"""Waiting for an operation by its row in PostgreSQL, which also works while the API is dead."""

import time
from collections.abc import Callable

import psycopg

from domain.lifecycle import FINISHED_OPERATIONS
from tests.chaos.moments import Moment, Row, reached
from tests.chaos.records import Records

LIMIT_SECONDS = 150.0
LOOK_SECONDS = 0.004


def await_moment(records: Records, operation_id: str, moment: Moment, among: tuple[Moment, ...]) -> Row:
    """The operation's row as soon as it stands at the moment, or is past it."""
    return await_row(records, operation_id, lambda row: reached(row, moment, among))


def await_end(records: Records, operation_id: str, seconds: float = LIMIT_SECONDS) -> Row:
    """The operation's row once it is over."""
    return await_row(records, operation_id, lambda row: row["status"] in FINISHED_OPERATIONS, seconds)


def await_row(
    records: Records, operation_id: str, wanted: Callable[[Row], bool], seconds: float = LIMIT_SECONDS
) -> Row:
    """The operation's row once it is as wanted; `TimeoutError` says where it stood."""
    deadline = time.monotonic() + seconds
    row: Row = {}
    while time.monotonic() < deadline:
        try:
            row = records.operation(operation_id)
        except psycopg.OperationalError:  # PostgreSQL may be what was killed
            time.sleep(0.05)
            continue
        if wanted(row):
            return row
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(
        f"operation {operation_id} is {row.get('status')} at {row.get('current_step')!r} after {seconds:g} s"
    )
