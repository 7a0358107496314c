"""LISTEN on a PostgreSQL channel with a dedicated connection."""

import asyncio
from contextlib import suppress

import psycopg
import structlog
from sqlalchemy.engine import make_url

log = structlog.get_logger(__name__)

CONNECT_LIMIT_S = 3


class Listener:
    """Waits for notifications. On a broken connection it waits out the timeout and reconnects on the next call."""

    def __init__(self, database_url: str, channel: str) -> None:
        url = make_url(database_url).set(drivername="postgresql")
        self._dsn = url.render_as_string(hide_password=False)
        self._channel = channel
        self._connection: psycopg.AsyncConnection | None = None

    async def wait(self, seconds: float) -> bool:
        """Wait for a notification until the timeout; True if there was one."""
        try:
            connection = await self._connect()
            async for _ in connection.notifies(timeout=seconds, stop_after=1):
                return True
        except (psycopg.Error, OSError):
            log.warning("listen.broken", channel=self._channel)
            await self.close()
            await asyncio.sleep(seconds)
        return False

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    async def _connect(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await self._opened()
            await self._connection.execute(f"LISTEN {self._channel}")
        return self._connection

    async def _opened(self) -> psycopg.AsyncConnection:
        """A new connection. If cancelled, waits for it and closes it: psycopg would leave it open."""
        opening = asyncio.ensure_future(
            psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_LIMIT_S, application_name="relay"
            )
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with suppress(psycopg.Error, OSError):
                await (await opening).close()
            raise
