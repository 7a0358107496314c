import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from domain.errors import DependencyError
from runtime.stack.postgres import ROLE, Postgres
from storage import migrations
from storage.migrations.runner import configuration
from storage.models import Base

ROOT = Path(__file__).resolve().parents[2]


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    """The command of its own, with nothing but this environment."""
    command = [sys.executable, "-m", "storage.migrations"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    with psycopg.connect(postgres.admin_url().replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE migrated OWNER {ROLE}")
        yield postgres.url("migrated")
        connection.execute("DROP DATABASE migrated WITH (FORCE)")


def test_the_migrated_schema_is_what_the_models_say(database_url):
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert migrations.current(connection) == migrations.head() is not None
    engine.dispose()


def test_four_processes_may_migrate_at_once_and_again_later(empty_url):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrations.upgrade, [empty_url] * 4))
    migrations.upgrade(empty_url)
    with psycopg.connect(empty_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrations.head(),)]


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        ("0024", "db52528.* once, then this one"),
        ("0038", "db52528.* once, then this one"),  # 0034 and 0031 came after it
        ("9999", "of a newer version .* start that one"),
    ],
)
def test_a_schema_that_no_way_leads_from_stays_as_it_is(empty_url, revision, words):
    with psycopg.connect(empty_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
        with pytest.raises(migrations.UnknownRevisionError, match=words):
            migrations.upgrade(empty_url)
        done = run(DELIVERY_DATABASE_URL=empty_url)
        assert done.returncode == 1
        assert f"its schema ({revision}) is" in done.stderr
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (1,)


def test_a_database_of_the_last_version_that_had_the_steps_is_brought_up_to_date(empty_url):
    """It stands at 0031; 32b673f called the same schema 0038, and refused it."""
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        command.upgrade(configuration(connection), "0031")
        connection.commit()
    migrations.upgrade(empty_url)
    with engine.connect() as connection:
        assert migrations.current(connection) == migrations.head()
    engine.dispose()


def test_the_command_says_where_the_database_stands(empty_url):
    done = run(DELIVERY_DATABASE_URL=empty_url)
    assert (done.returncode, done.stdout) == (0, f"the database is at revision {migrations.head()}\n")
    unset = run()
    assert unset.returncode == 2
    assert "DELIVERY_DATABASE_URL" in unset.stderr


def test_who_waits_for_the_schema_goes_on_once_it_is_there(empty_url):
    waiting = threading.Thread(target=migrations.await_schema, args=(empty_url, 120), daemon=True)
    waiting.start()
    with pytest.raises(DependencyError, match=f"its schema is at None, this code needs {migrations.head()}"):
        migrations.await_schema(empty_url, 0.3)
    assert waiting.is_alive()
    migrations.upgrade(empty_url)
    waiting.join(60)
    assert not waiting.is_alive()


def test_the_wait_for_a_database_that_is_not_there_is_logged(empty_url, tmp_path):
    migrations.await_schema(f"postgresql+psycopg://delivery@/delivery?host={tmp_path}", 0)  # 0: nobody looks
    with pytest.raises(DependencyError, match="the database does not answer"):
        migrations.await_schema(f"postgresql+psycopg://delivery@/delivery?host={tmp_path}", 0.2)
