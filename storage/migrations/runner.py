"""Bring a database to the newest schema: bounded waits, safe when several processes try at once."""

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


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without an ini file."""
    config = Config()
    # Alembic reads options with interpolation: a percent sign in the path must be doubled.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


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
    """
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5}, hide_parameters=True)
    try:
        with engine.connect() as connection:
            _set_lock_timeout(connection, WAIT_FOR_OTHERS)
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            _set_lock_timeout(connection, WAIT_FOR_TABLES)
            connection.commit()
            # The lock belongs to the connection and goes with it, also when we are killed.
            command.upgrade(configuration(connection), "head")
            connection.commit()
    finally:
        engine.dispose()


def _set_lock_timeout(connection: Connection, limit: str) -> None:
    connection.execute(text("SELECT set_config('lock_timeout', :limit, false)"), {"limit": limit})
