"""Builds inside bubblewrap: a PID namespace, a read-only system, none of the engine's data."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from drivers import place
from drivers.bridge.network import Network
from drivers.builders.base import RunRequest, RunResult
from drivers.builders.private import PrivateFolders
from drivers.builders.runner import folders_of, run_steps
from drivers.clean_env import CodePath
from drivers.egress import inside
from drivers.egress.sandboxes import Sandbox, Sandboxes, is_id
from drivers.folders import finish_in_thread


class BubblewrapBuilder:
    """The checkout and its private folders are writable; `hidden` folders and files do not exist inside.

    Args:
        hidden: see above.
        path: folders to search for programs; None: the usual ones.
        trusted: the build sees the rest of the host, read-only, and its network; untrusted builds see only what
            programs need.
        ways: egress of untrusted builds; None: no egress.
    """

    isolating: bool = True

    def __init__(
        self,
        hidden: tuple[Path, ...] = (),
        path: CodePath | None = None,
        *,
        trusted: bool = False,
        ways: Sandboxes | None = None,
    ) -> None:
        self._trusted = trusted
        self._ways = ways
        self._hidden = hidden
        self._path = path or CodePath.of("", trusted=False)

    async def run(self, request: RunRequest) -> RunResult:
        private = PrivateFolders.of(request.checkout)
        await finish_in_thread(private.prepare)
        folders = folders_of(request, private)
        if self._trusted:
            where = place.shielded(folders, hidden=self._hidden, readable=self._path.shown)
            return await run_steps(request, private=private, where=where, path=self._path.folders)
        async with self._network(request) as network:
            where = place.isolated(folders, hidden=self._hidden, readable=self._path.shown, network=network)
            return await run_steps(request, private=private, where=where, path=self._path.folders)

    @asynccontextmanager
    async def _network(self, request: RunRequest) -> AsyncIterator[Network]:
        """A network whose way out exists while the build runs; a later attempt with the same key gets another one."""
        if self._ways is None:
            yield inside.network(None)
            return
        name = f"{request.key if is_id(request.key) else 'build'}-{uuid.uuid4().hex[:8]}"
        sandbox = Sandbox(name, request.organization, request.project, owner=request.checkout)
        try:
            yield inside.network(await self._ways.open(sandbox))
        finally:
            await self._ways.close(sandbox.id)
