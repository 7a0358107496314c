"""Builds as plain processes: for code that is trusted like the engine itself."""

from drivers.builders.base import RunRequest, RunResult
from drivers.builders.private import PrivateFolders
from drivers.builders.runner import run_steps
from drivers.folders import finish_in_thread


class ProcessBuilder:
    """Bare environment, limits and a certain end, but the host's files are within reach of the build."""

    isolating: bool = False

    async def run(self, request: RunRequest) -> RunResult:
        private = PrivateFolders.of(request.workdir)
        await finish_in_thread(private.prepare)
        return await run_steps(request, private=private, wrapper=(), levels=0)
