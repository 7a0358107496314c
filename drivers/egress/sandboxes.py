"""The existing sandboxes: a folder for each, in which the proxy opens its sockets, again after a restart.

`<root>/<id>/sandbox.json` names the owner, and `<root>/<id>/door/` is mounted into the sandbox, read-only: the folder
and not the socket in it, so that the socket of a restarted proxy is visible too. The socket alone identifies the
sandbox to the proxy: there is no password that code could leak.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from domain.destinations import Destination
from domain.errors import DependencyError
from drivers.egress.asking import FORBIDDEN, JUDGE
from drivers.folders import finish_in_thread, remove_tree
from runtime.files import write_whole

SOCKET = "proxy.sock"
WAIT_S = 30.0
JUDGE_WAIT_S = 20.0
_POLL_S = 0.02
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FILE = "sandbox.json"
_DOOR = "door"


@dataclass(frozen=True)
class Sandbox:
    """One build or instance.

    Attributes:
        id: unique in this data folder; the same id is the same sandbox. organization, project: the code's owner, for
            limits and the log.
        owner: a folder of the engine; the sandbox is removed with it.
        listed: what its `service.egress` lists.
    """

    id: str
    organization: str
    project: str
    owner: Path
    listed: tuple[Destination, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """None when it is missing or incomplete."""
        try:
            found = json.loads((folder / _FILE).read_bytes())
            return cls(
                id=folder.name,
                organization=found["organization"],
                project=found["project"],
                owner=Path(found["owner"]),
                listed=tuple(Destination(host, port) for host, port in found["listed"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        listed = [[each.host, each.port] for each in self.listed]
        facts = {"organization": self.organization, "project": self.project, "owner": str(self.owner), "listed": listed}
        write_whole(folder / _FILE, json.dumps(facts), sync=False)


class Sandboxes:
    """The folder of all sandboxes.

    Args:
        root: for sandboxes only; code must not see it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def door(self, sandbox_id: str) -> Path:
        """The folder that the sandbox sees."""
        return self.root / sandbox_id / _DOOR

    async def open(self, sandbox: Sandbox) -> Path:
        """Create the sandbox's folder and wait until the proxy listens in it; returns the folder to mount.

        Raises:
            DependencyError: no proxy is listening.
        """
        if not is_id(sandbox.id):
            raise ValueError(f"{sandbox.id!r} cannot be the id of a sandbox")
        await finish_in_thread(self._make, sandbox)
        door = self.door(sandbox.id)
        end = time.monotonic() + WAIT_S
        while not is_answered(door):
            if time.monotonic() > end:
                raise DependencyError(
                    f"The proxy of builds and services did not come within {WAIT_S:g} s: `python -m egress` must run "
                    "for this data folder (docs/isolation.md)."
                )
            await asyncio.sleep(_POLL_S)
        return door

    async def refusal(self, sandbox_id: str, to: Destination) -> str | None:
        """Why the proxy would refuse a connection of a sandbox to that host; None: it would not, or cannot tell now."""
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            async with asyncio.timeout(JUDGE_WAIT_S):
                with opened(self.door(sandbox_id)) as folder:
                    reader, writer = await asyncio.open_unix_connection(folder.path(SOCKET))
                with contextlib.closing(writer):
                    writer.write(f"{JUDGE} {to} HTTP/1.1\r\n\r\n".encode())
                    _, status, words = (await reader.readline()).decode("latin-1").split(" ", 2)
                    return words.strip() if status == str(FORBIDDEN) else None
        return None

    async def close(self, sandbox_id: str) -> None:
        """Remove the folder; the proxy then closes its socket. A missing one is fine."""
        await finish_in_thread(remove_tree, self.root / sandbox_id)

    def names(self) -> list[str]:
        """Ids of the existing sandboxes."""
        try:
            with os.scandir(self.root) as found:
                return [entry.name for entry in found if is_id(entry.name)]
        except FileNotFoundError:
            return []

    def read(self, sandbox_id: str) -> Sandbox | None:
        """None when it is missing or incomplete."""
        return Sandbox.read(self.root / sandbox_id)

    def sweep(self) -> None:
        """Remove sandboxes whose owner is gone, because their process was killed before it could close them."""
        for name in self.names():
            if (sandbox := self.read(name)) and not sandbox.owner.exists():
                remove_tree(self.root / name)

    def _make(self, sandbox: Sandbox) -> None:
        folder = self.root / sandbox.id
        if Sandbox.read(folder) == sandbox and self.door(sandbox.id).is_dir():
            return  # a running sandbox may have it mounted
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.root / f".{uuid.uuid4().hex}"
        (new / _DOOR).mkdir(mode=0o700, parents=True)
        sandbox.write(new)
        remove_tree(folder)
        new.rename(folder)


def is_id(text: str) -> bool:
    """Whether it is a valid sandbox id, which cannot lead out of the folder."""
    return _ID.fullmatch(text) is not None


def is_answered(door: Path) -> bool:
    """Whether something is listening there now."""
    try:
        with opened(door) as at, socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            client.connect(at.path(SOCKET))
    except BlockingIOError:
        return True  # its backlog is full, so there is a listener
    except OSError:
        return False
    return True


class opened:  # noqa: N801 - used like `open`
    """Open a folder under a name that is short enough for its sockets (107 bytes), wherever it is. Raises `OSError`."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def path(self, name: str) -> str:
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
