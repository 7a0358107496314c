"""Certificates that are replaced while we run: a new client takes over from the one that holds the old ones."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from temporalio.client import Client

from domain.errors import DependencyError
from runtime.reconciler import Reconciler
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from runtime.temporal_access import stamp_of

log = structlog.get_logger(__name__)

LOOK_S: Final = 30.0


class Rotation:
    """Connects again when the files of the settings are other ones than at the last connection.

    Args:
        settings: name the files; without any, nothing ever changes.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp = stamp_of(settings)
        self._due = 0.0

    async def look_if_due(self) -> Client | None:
        """`look`, but not more often than every 30 s: a refused certificate must not slow down every request."""
        if time.monotonic() < self._due:
            return None
        self._due = time.monotonic() + LOOK_S
        return await self.look()

    async def look(self) -> Client | None:
        """A client with the new files; None: they are the old ones, or not usable (yet), and the old client stays."""
        stamp = stamp_of(self._settings)
        if stamp == self._stamp:
            return None
        try:
            client = await connect_temporal(self._settings)
        except DependencyError as error:
            # certificate and key are replaced one after the other: the next look finds both
            log.warning("temporal.rotation_failed", reason=error.message)
            return None
        self._stamp = stamp
        log.info("temporal.rotated")
        return client


class ClientRotation(Reconciler):
    """The files' newest client is in use; `use` gets each new one."""

    name = "client_rotation"
    interval_s = LOOK_S
    begins_at_once = False

    def __init__(self, rotation: Rotation, use: Callable[[Client], None]) -> None:
        super().__init__()
        self._rotation = rotation
        self._use = use

    async def reconcile(self) -> int:
        """Whether there was a new client."""
        client = await self._rotation.look()
        if client is None:
            return 0
        self._use(client)
        return 1
