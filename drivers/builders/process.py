"""Builds as plain processes: for code that is trusted as much as the engine itself."""

from drivers import place
from drivers.builders.base import RunRequest, RunResult
from drivers.builders.private import PrivateFolders
from drivers.builders.runner import folders_of, run_steps
from drivers.clean_env import CodePath
from drivers.folders import finish_in_thread


class ProcessBuilder:
    """Clean environment, limits and reliable termination, but the build can access the host's files.

    Args:
        path: folders to search for programs; None: the usual ones.
    """

    isolating: bool = False

    def __init__(self, path: CodePath | None = None) -> None:
        self._path = path or CodePath.of("", trusted=True)

    async def run(self, request: RunRequest) -> RunResult:
        private = PrivateFolders.of(request.checkout)
        await finish_in_thread(private.prepare)
        try:
            where = place.trusted(folders_of(request, private))
            return await run_steps(request, private=private, where=where, path=self._path.folders)
        finally:
            place.forget(private.tmp)
