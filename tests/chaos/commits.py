"""Commits that do not come back: what was committed stands in the log of the server, and nobody is told."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from runtime.settings import Settings
from runtime.stack.composition import Composition
from tests.chaos.records import Records
from tests.support.services import until

BACK_SECONDS = 120.0
HOLD = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
RELEASE = "ALTER SYSTEM RESET synchronous_standby_names"
RELOAD = "SELECT pg_reload_conf()"
HELD = "SHOW synchronous_standby_names"


@contextmanager
def held_commits(records: Records) -> Iterator[None]:
    """Every commit waits for a standby that there is not; at the end, or with the server's next start, none does."""
    url = _admin_url(records)
    try:
        _tell(url, HOLD, RELOAD)
        until(lambda: _tell(url, HELD) == "nobody", "commits wait", BACK_SECONDS)
        _tell(url, RELEASE)  # for whoever starts next; those who run now hear of it with the next reload
        yield
    finally:
        until(lambda: _is_released(url), "commits come back", BACK_SECONDS)


def _is_released(url: str) -> bool:
    try:
        _tell(url, RELEASE, RELOAD)
        return _tell(url, HELD) == ""
    except psycopg.OperationalError:  # it is being started
        return False


def _admin_url(records: Records) -> str:
    settings = Settings(data_dir=records.layout.data)
    return Composition(settings, records.layout, {}).postgres.admin_url().replace("+psycopg", "")


def _tell(url: str, *statements: str) -> str:
    """The first column of what the last statement answers."""
    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return str(row[0]) if row else ""
