"""Bring a database to the newest schema: bounded waits, safe when several processes try at once."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

# Any number that no other advisory lock of ours uses.
MIGRATION_LOCK = 7_316_001
WAIT_FOR_OTHERS = "120s"
WAIT_FOR_TABLES = "5s"
# The steps with numbers up to this one were made one. It has the revision of the last step, which was 0031: they were
# not chained by number. Who stands at another step goes by the last version that had them.
LAST_STEP, LAST_WITH_STEPS = "0038", "the version of 1 December 2026 (commit db52528)"


class UnknownRevisionError(Exception):
    """A database stands where this code knows no way from; the message says what to do."""

    def __init__(self, revision: str) -> None:
        self.revision = revision
        super().__init__(
            f"its schema ({revision}) is older than this version can bring up to date: start {LAST_WITH_STEPS} on it "
            "once, then this one"
            if revision <= LAST_STEP
            else f"its schema ({revision}) is of a newer version than this one, which knows {head()}: start that one"
        )


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without an ini file."""
    config = Config()
    # Alembic reads options with interpolation: a percent sign in the path must be doubled.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@cache
def head() -> str | None:
    """The newest revision this code knows."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def current(connection: Connection) -> str | None:
    """The revision a database stands at; None: empty."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str) -> None:
    """Bring the database at `url` to the newest schema; others that try meanwhile wait and then find it done.

    Raises:
        sqlalchemy.exc.OperationalError: the database does not answer, or a table stayed locked for 5 s (try again).
        UnknownRevisionError: its schema is too old, or newer than this code. Nothing was changed.
    """
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5}, hide_parameters=True)
    try:
        with engine.connect() as connection:
            _set_lock_timeout(connection, WAIT_FOR_OTHERS)
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            _set_lock_timeout(connection, WAIT_FOR_TABLES)
            connection.commit()
            # The lock belongs to the connection and goes with it, also when we are killed.
            _check_known(connection)
            command.upgrade(configuration(connection), "head")
            connection.commit()
    finally:
        engine.dispose()


def _check_known(connection: Connection) -> None:
    found = current(connection)
    connection.rollback()  # alembic begins a transaction for each migration
    known = {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}
    if found is not None and found not in known:
        raise UnknownRevisionError(found)


def _set_lock_timeout(connection: Connection, limit: str) -> None:
    connection.execute(text("SELECT set_config('lock_timeout', :limit, false)"), {"limit": limit})
