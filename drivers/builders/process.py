"""Builds as plain processes: for code that is trusted like the engine itself."""

from drivers.builders.base import RunRequest, RunResult
from drivers.builders.private import PrivateFolders
from drivers.builders.runner import run_steps


class ProcessBuilder:
    """Bare environment, limits and a certain end, but the host's files are within reach of the build."""

    isolating: bool = False

    async def run(self, request: RunRequest) -> RunResult:
        private = PrivateFolders.of(request.workdir)
        private.prepare()
        return await run_steps(request, private=private, wrapper=(), levels=0)
