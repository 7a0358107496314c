"""Is everything there that we need? Each check has a second, and its answer is shared for a second."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from psycopg import Error as PsycopgError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.operations_port import OperationsPort
from domain.errors import DeliveryError
from runtime.limiting.limiter import Limiter
from runtime.logging import get_logger
from runtime.returning import NAME, Returning
from runtime.settings import Settings
from storage import migrations

log = get_logger(__name__)

CHECK_LIMIT_S = 1.0
SHARED_FOR_S = 1.0
HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
# Requests are served without it, but not counted.
CACHE_AWAY = "Cache (Redis) connection failed: rate limits are not enforced"

DISPENSABLE = frozenset({"cache"})

Check = Callable[[], Awaitable[None]]


class Health:
    """The contract's four services, and whether the schema is the one this code knows."""

    def __init__(
        self,
        settings: Settings,
        engine: AsyncEngine,
        operations: OperationsPort,
        limiter: Limiter,
        *,
        access_is_stale: Callable[[], bool] = lambda: False,
    ) -> None:
        self._access_is_stale = access_is_stale
        self._settings = settings
        self._engine = engine
        self._operations = operations
        self._limiter = limiter
        self._head = migrations.head()
        self._lock = asyncio.Lock()
        self._seen: Mapping[str, str | None] = {}
        self._seen_at = float("-inf")
        self._schema_lock = asyncio.Lock()
        self._schema: str | None = None
        self._schema_at = float("-inf")

    async def services(self) -> Mapping[str, str | None]:
        """The fault of each service; None means healthy."""
        async with self._lock:
            if time.monotonic() - self._seen_at > SHARED_FOR_S:
                self._seen = await self._look()
                self._seen_at = time.monotonic()
            return self._seen

    def degraded(self) -> Sequence[str]:
        """What serves with less than it should: `access` knows revocations of a while ago; `deployments` come back.

        The latter is saved by a worker that shares our data folder, as in the embedded stack.
        """
        told = Returning.load(self._settings.data_dir / "run" / NAME)
        stale = ["access"] if self._access_is_stale() else []
        return [*stale, "deployments"] if told and told.is_under_way else stale

    async def schema(self) -> str | None:
        """Why the database cannot be used yet; None: it can."""
        async with self._schema_lock:
            if time.monotonic() - self._schema_at > SHARED_FOR_S:
                message = "Database is not migrated or does not answer"
                self._schema = await _outcome(self._check_schema, message)
                self._schema_at = time.monotonic()
            return self._schema

    async def _look(self) -> Mapping[str, str | None]:
        checks: Mapping[str, tuple[Check, str]] = {
            "database": (self._check_database, "Database connection failed"),
            "cache": (self._limiter.check, CACHE_AWAY),
            "message_queue": (self._operations.check, "Workflow engine (Temporal) connection failed"),
            "storage": (self._check_storage, "Data folder is not writable"),
        }
        outcomes = await asyncio.gather(*(_outcome(check, message) for check, message in checks.values()))
        return dict(zip(checks, outcomes, strict=True))

    async def _check_database(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def _check_schema(self) -> None:
        async with self._engine.connect() as connection:
            found = await connection.run_sync(migrations.current)
        if found != self._head:
            raise OSError(f"schema is at {found}, this code needs {self._head}: run python -m storage.migrations")

    async def _check_storage(self) -> None:
        await asyncio.to_thread(_write, self._settings.data_dir)


async def _outcome(check: Check, message: str) -> str | None:
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            await check()
    except (OSError, ValueError, SQLAlchemyError, PsycopgError, DeliveryError) as error:
        # The cause may name hosts and users: it is logged, not answered.
        log.warning("health.check_failed", message=message, cause=str(error))
        return message
    return None


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"healthy")
