"""The proxy's sockets for all sandboxes: opened when a sandbox's folder appears, closed when it goes."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable

import structlog

from drivers.egress.asking import MAX_HEAD
from drivers.egress.proxy import Proxy
from drivers.egress.sandboxes import SOCKET, Sandbox, Sandboxes, opened
from runtime.files import locked

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.05
# A change within the clock tick of our last look may have left the folder's mtime unchanged.
SETTLED_S = 1.0
SWEEP_EVERY_S = 5.0
LOCK_WAIT_S = 30.0
BACKLOG = 128
# Connections of one sandbox at once, whatever its organization's limit.
MAX_GUESTS = 2048
ACCEPT_AGAIN_S = 1.0


class Door:
    """One open socket, and its connections."""

    def __init__(self, sandbox: Sandbox, inode: int, listener: socket.socket, proxy: Proxy) -> None:
        self.sandbox = sandbox
        self.inode = inode
        self._listener = listener
        self._proxy = proxy
        self._guests: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MAX_GUESTS)
        self._accepting = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        """Accept at the organization's rate; the others wait in the kernel's queue, at no cost for us."""
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            await self._proxy.may_come(self.sandbox)
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # no file descriptor is left, or the client has gone
                log.warning("egress.accept_failed", sandbox=self.sandbox.id, error=str(error))
                await asyncio.sleep(ACCEPT_AGAIN_S)
                self._places.release()
                continue
            guest = asyncio.create_task(self._serve(connection))
            self._guests.add(guest)
            guest.add_done_callback(self._left)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            stream = await asyncio.open_unix_connection(sock=connection, limit=MAX_HEAD)
        except BaseException:
            connection.close()
            raise
        await self._proxy.serve(stream, self.sandbox)

    def _left(self, guest: asyncio.Task[None]) -> None:
        self._guests.discard(guest)
        self._places.release()
        if not guest.cancelled() and (error := guest.exception()):
            log.error("egress.failed", sandbox=self.sandbox.id, exc_info=error)

    async def close(self) -> None:
        """Close the socket and cut off its connections."""
        ending = (self._accepting, *self._guests)
        for task in ending:
            task.cancel()
        try:
            await asyncio.gather(*ending, return_exceptions=True)
        finally:
            self._listener.close()


class Doors:
    """Keeps the sockets in line with the folder.

    Args:
        sandboxes: the folder.
        proxy: serves the connections.
    """

    def __init__(self, sandboxes: Sandboxes, proxy: Proxy) -> None:
        self._sandboxes = sandboxes
        self._proxy = proxy
        self._open: dict[str, Door] = {}
        self._seen = 0

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Run until cancelled, then close all sockets. `ready` is called once the present ones are open.

        Raises:
            DependencyError: another proxy uses this folder.
        """
        self._sandboxes.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The previous proxy may still be shutting down.
        busy = f"another process is the proxy of {self._sandboxes.root}"
        async with locked(self._sandboxes.root / ".lock", LOCK_WAIT_S, busy):
            try:
                await self.look()
                ready()
                await self._keep()
            finally:
                for door in self._open.values():
                    await door.close()

    async def _keep(self) -> None:
        swept = time.monotonic()
        while True:
            try:
                if time.monotonic() - swept > SWEEP_EVERY_S:
                    swept = time.monotonic()
                    await asyncio.to_thread(self._sandboxes.sweep)
                    await self.look()
                elif self._changed():
                    await self.look()
            except OSError as error:  # open sockets stay
                log.warning("egress.look_failed", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    def _changed(self) -> bool:
        try:
            now = self._sandboxes.root.stat().st_mtime_ns
        except FileNotFoundError:
            return bool(self._open)
        changed = now != self._seen or 0 <= time.time_ns() - now < SETTLED_S * 1e9  # the clock may be set back
        self._seen = now
        return changed

    async def look(self) -> None:
        """Open new sockets, close those whose sandboxes are gone."""
        names = await asyncio.to_thread(self._sandboxes.names)
        for name in [name for name, door in self._open.items() if not self._is_there(name, door)]:
            await self._open.pop(name).close()
        for name in names:
            if name not in self._open and (sandbox := self._sandboxes.read(name)):
                self._open_one(sandbox)

    def _is_there(self, name: str, door: Door) -> bool:
        """A folder that was recreated has no socket yet, even if everything else of it is the same."""
        try:
            return (self._sandboxes.door(name) / SOCKET).lstat().st_ino == door.inode
        except FileNotFoundError:
            return False

    def _open_one(self, sandbox: Sandbox) -> None:
        try:
            with opened(self._sandboxes.door(sandbox.id)) as folder:
                listener, inode = _listen(folder)
        except FileNotFoundError:
            return  # removed just now
        except OSError as error:
            log.warning("egress.socket_failed", sandbox=sandbox.id, error=str(error))
            return

        self._open[sandbox.id] = Door(sandbox, inode, listener, self._proxy)


def _listen(folder: opened) -> tuple[socket.socket, int]:
    """A listening socket that atomically replaces the previous one, and its inode."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        new = folder.path(f"{SOCKET}.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)  # noqa: PTH108 - of one that was killed between the two
        listener.setblocking(False)
        listener.bind(new)
        listener.listen(BACKLOG)
        inode = os.lstat(new).st_ino
        os.rename(new, folder.path(SOCKET))  # noqa: PTH104 - strings are at hand
    except BaseException:
        listener.close()
        raise
    return listener, inode
