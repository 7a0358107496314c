"""Builds inside bubblewrap: own processes, a read-only system, nothing of the engine's data."""

from collections.abc import Callable
from pathlib import Path

from drivers import place
from drivers.bare import CodePath
from drivers.builders.base import RunRequest, RunResult
from drivers.builders.private import PrivateFolders
from drivers.builders.runner import folders_of, run_steps
from drivers.folders import finish_in_thread


class BubblewrapBuilder:
    """The checkout and its private folders are writable; `hidden` folders and files do not exist inside.

    Args:
        hidden: see above.
        path: where programs are searched; None: at the usual places.
        trusted: the rest of the host is there, read-only; strangers see only what programs need.
    """

    isolating: bool = True

    def __init__(self, hidden: tuple[Path, ...] = (), path: CodePath | None = None, *, trusted: bool = False) -> None:
        self._at: Callable[..., place.Place] = place.shielded if trusted else place.isolated
        self._hidden = hidden
        self._path = path or CodePath.of("", trusted=False)

    async def run(self, request: RunRequest) -> RunResult:
        private = PrivateFolders.of(request.checkout)
        await finish_in_thread(private.prepare)
        where = self._at(folders_of(request, private), hidden=self._hidden, readable=self._path.shown)
        return await run_steps(request, private=private, where=where, path=self._path.folders)
