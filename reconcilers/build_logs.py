"""Logs of operations are kept for a time: they outlive workspaces, and nothing else would ever remove them."""

import asyncio
import time
from pathlib import Path

import structlog

from drivers.folders import finish_in_thread, remove_tree
from runtime.reconciler import Reconciler

log = structlog.get_logger(__name__)

DAY_S = 86_400.0


class BuildLogRetention(Reconciler):
    """Removes the logs of operations of which nothing was written for `days` days.

    Args:
        root: the folder with one folder for each operation.
        days: how long they are kept.
    """

    name = "build_log_retention"
    interval_s = 3600.0
    # For removing very many folders.
    limit_s = 1800.0
    jitter = 0.0  # of one machine

    def __init__(self, root: Path, days: int) -> None:
        super().__init__()
        self._root = root
        self._days = days

    async def reconcile(self) -> int:
        """Returns the number of operations whose logs were removed. A failed removal does not end it."""
        removed = 0
        for folder in await asyncio.to_thread(self._old):
            try:
                await finish_in_thread(remove_tree, folder)
                removed += 1
            except OSError as error:
                log.warning("logs.not_removed", folder=folder.name, reason=str(error))
        return removed

    def _old(self) -> list[Path]:
        before = time.time() - self._days * DAY_S
        return [folder for folder in self._root.glob("*/") if _last_written(folder) < before]


class InstanceLogRetention(BuildLogRetention):
    """The same for what is left of the logs of stopped instances: one folder for each release."""

    name = "instance_log_retention"


def _last_written(folder: Path) -> float:
    try:
        return max((path.stat().st_mtime for path in folder.iterdir()), default=folder.stat().st_mtime)
    except FileNotFoundError:  # another process removed it
        return time.time()
