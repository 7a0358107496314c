"""Builds inside bubblewrap: own processes, a read-only system, nothing of the engine's data."""

from pathlib import Path

from drivers import sandbox
from drivers.builders.base import RunRequest, RunResult
from drivers.builders.private import PrivateFolders
from drivers.builders.runner import run_steps
from drivers.folders import finish_in_thread


class BubblewrapBuilder:
    """The workspace and its private folders are writable; `hidden` folders and files do not exist inside."""

    isolating: bool = True

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        self._hidden = hidden

    async def run(self, request: RunRequest) -> RunResult:
        private = PrivateFolders.of(request.workdir)
        await finish_in_thread(private.prepare)
        wrapper = sandbox.arguments(cwd=request.workdir, writable=(request.workdir, private.root), hidden=self._hidden)
        return await run_steps(request, private=private, wrapper=wrapper, levels=sandbox.WRAPPER_LEVELS)
