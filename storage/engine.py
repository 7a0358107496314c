"""The database engine, with limits on all waits."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from psycopg import OperationalError as PsycopgOperationalError
from psycopg.errors import DiskFull, ForeignKeyViolation, LockNotAvailable, QueryCanceled
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from domain.errors import ConflictError, DependencyError, ErrorCode, UnknownOutcomeError
from domain.foreign_text import storable_value

Sessions = async_sessionmaker[AsyncSession]

CONNECT_TIMEOUT_S = 3
POOL_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 15
LOCK_TIMEOUT_S = 10
IDLE_TIMEOUT_S = 60


def create_engine(url: str, *, application_name: str, pool_size: int = 10) -> AsyncEngine:
    """An engine with limits: connect 3 s, pool 5 s, statement 15 s, lock 10 s.

    Args:
        url: `postgresql+psycopg://user:password@/db?host=<socket folder>&port=<port>`; never logged.
        application_name: shown in `pg_stat_activity`.
        pool_size: connections kept open; the same number again may be opened under load.
    """
    limits = {
        "statement_timeout": STATEMENT_TIMEOUT_S,
        "lock_timeout": LOCK_TIMEOUT_S,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_S,
    }
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=to_json,
        connect_args={
            "application_name": application_name,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": " ".join(f"-c {name}={seconds * 1000}" for name, seconds in limits.items()),
        },
    )


def to_json(value: Any) -> str:
    """For JSONB, which refuses NUL and lone surrogates: removes them from foreign text."""
    text = json.dumps(value)
    return json.dumps(storable_value(value)) if "\\u0000" in text or "\\ud" in text else text


def create_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions that keep loaded values after commit and never load lazily."""
    return async_sessionmaker(engine, expire_on_commit=False, autoflush=True)


def autocommitting(engine: AsyncEngine) -> AsyncEngine:
    """The same connections for single read statements: without BEGIN and COMMIT, which are two of four round trips."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def transaction(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """One transaction: commit at the end, roll back on any exception.

    Raises:
        DependencyError: the database does not answer, or (TIMEOUT) not within the engine's limits; nothing was
            committed.
        UnknownOutcomeError: the connection broke during the commit, so its outcome is unknown.
        ConflictError: CONFLICT, a row refers to one that was deleted meanwhile.
    """
    committing = False
    try:
        with _faults_told():
            async with sessions() as session, session.begin():
                yield session
                await session.flush()
                committing = True
    except DependencyError as error:
        if not committing:
            raise
        raise UnknownOutcomeError(
            "the database went away while this was written down, and nobody can tell whether it was. Send the request "
            "again with the same Idempotency-Key, or look before you send it without one"
        ) from error


@asynccontextmanager
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for frequent statements, where the cost of a session matters.

    Raises:
        DependencyError: as in `transaction`.
    """
    with _faults_told():
        async with engine.connect() as connected:
            yield connected


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError, PsycopgOperationalError) as error:
        raise _unanswered(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DependencyError("the connection to the database broke; try again shortly") from error
        if isinstance(error.orig, ForeignKeyViolation):
            raise ConflictError("something this belongs to was deleted at this moment; read it again") from error
        raise


def _unanswered(error: Exception) -> DependencyError:
    """Down, or too slow: a statement or a lock wait reached its limit."""
    if isinstance(getattr(error, "orig", None), QueryCanceled | LockNotAvailable):
        return DependencyError("the database took too long; try again shortly", code=ErrorCode.TIMEOUT)
    if isinstance(getattr(error, "orig", error), DiskFull):
        return DependencyError("the database has no room left on its disk; whoever operates it must free some")
    return DependencyError("the database does not answer; try again shortly")
