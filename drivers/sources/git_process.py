"""Runs one git command: clean environment, own process group, limits on time, output, disk; killed when cancelled."""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import DependencyError, ErrorCode, TerminalError
from domain.repository_url import Scheme
from drivers.folders import folder_size
from drivers.shim import proc
from drivers.sources.transport import SSH_CONFIG, Transport
from runtime.files import write_whole

WATCH_INTERVAL_S = 0.2
MAX_STDERR = 64 * 1024
_CHUNK = 64 * 1024
# A company's own CAs; nothing else of the worker's environment is passed to git.
_PASSED_ON = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=true",  # written as links, then checked to stay inside the tree
    "core.askPass=/bin/false",
    "credential.helper=",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",  # one pack file, whose growth is watched
    "transfer.bundleURI=false",
    "protocol.version=2",
    "gc.auto=0",
    "maintenance.auto=false",
    "pack.threads=1",
    "filter.lfs.process=",
    "filter.lfs.smudge=",
    "filter.lfs.required=false",
    "http.followRedirects=false",  # the token is for this URL; and `Egress` connects to no other host
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
)


@dataclass(frozen=True)
class GitResult:
    """The result of a git command; texts are bounded and decoded leniently."""

    exit_code: int
    stdout: str
    stderr: str


class OutputTooLargeError(Exception):
    """The command wrote more than allowed and was killed."""


@dataclass(frozen=True)
class GitRunner:
    """Shared by the git commands of one fetch.

    Attributes:
        git: the program.
        scheme: the one transport allowed.
        home: an existing folder for git's files; contains `config`, the only configuration read.
        timeout_s: limit of one command, in seconds.
        max_bytes: size limit of `home` on disk while a command runs.
        transport: the egress proxy and the credentials.
    """

    git: str
    scheme: Scheme
    home: Path
    timeout_s: float
    max_bytes: int
    transport: Transport

    def prepare(self) -> None:
        """Write the configuration files of git and of the transport.

        A file, and not `-c`, because the `upload-pack` that git starts for a local repository inherits only that. A
        local repository may have another owner: allowing local folders allows that too. Nothing of the repository is
        executed (pack hooks are read from this file only, lazy fetching is off).
        """
        self.home.mkdir(mode=0o700, parents=True)
        files = {"config": "[safe]\n\tdirectory = *\n", **self.transport.files}
        for name, text in files.items():
            (self.home / name).write_text(text, encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            "PATH": os.defpath,
            **passed,
            "HOME": str(self.home),
            "LC_ALL": "C",
            "GIT_ALLOW_PROTOCOL": self.scheme,
            "GIT_ASKPASS": "/bin/false",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": "/",
            "GIT_CONFIG_GLOBAL": str(self.home / "config"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_SSH_COMMAND": shlex.join(["ssh", "-F", str(self.home.absolute() / SSH_CONFIG)]),
            "GIT_SSH_VARIANT": "ssh",
            "GIT_TERMINAL_PROMPT": "0",
            "SSH_ASKPASS": "/bin/false",
            **self.transport.env,
        }

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        options = [part for entry in (*_CONFIG, *self.transport.config) for part in ("-c", entry)]
        return [self.git, "--no-pager", *options, *arguments]

    async def run(self, *arguments: str, max_output: int = 1024 * 1024) -> GitResult:
        """Run a command to its end, with any exit code.

        Raises:
            DependencyError: git is not installed, or took longer than `timeout_s`.
            TerminalError: SOURCE_TOO_LARGE.
            OutputTooLargeError: standard output exceeded `max_output` bytes.
        """
        async with self._started(self._argv(arguments), self._environment()) as process:
            try:
                async with asyncio.timeout(self.timeout_s):
                    return await self._collect(process, max_output)
            except TimeoutError:
                raise DependencyError(
                    f"git {arguments[0]} took longer than {self.timeout_s:g} s and was ended",
                    code=ErrorCode.TIMEOUT,
                ) from None

    @contextlib.asynccontextmanager
    async def _started(self, argv: Sequence[str], env: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
        try:
            process = await _whole(
                asyncio.create_subprocess_exec(
                    *argv,
                    cwd=self.home,
                    env=env,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    start_new_session=True,
                    umask=0o022,
                )
            )
        except (FileNotFoundError, PermissionError):  # the latter if PATH contains an unreadable folder
            raise DependencyError(f"{self.git!r} is not installed where the worker runs") from None
        try:
            self._record(process.pid)
            yield process
        finally:
            await _end(process)

    def _record(self, pid: int) -> None:
        """Record the process for `end_recorded`."""
        found = proc.read(pid)
        if found is not None:
            write_whole(self.home / "process", f"{pid} {found.start_time}", sync=False)

    def end_recorded(self) -> None:
        """Kill the git that an earlier attempt left running when its worker was killed."""
        try:
            pid, start_time = map(int, (self.home / "process").read_text(encoding="ascii").split())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return
        if proc.is_alive(pid, start_time):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    async def _collect(self, process: asyncio.subprocess.Process, max_output: int) -> GitResult:
        watch = asyncio.create_task(self._watch())
        reading = asyncio.gather(
            _read(process.stdout, max_output, strict=True), _read(process.stderr, MAX_STDERR, strict=False)
        )
        try:
            await asyncio.wait((watch, reading), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            stdout, stderr = await reading
            return GitResult(await process.wait(), stdout, stderr)
        finally:
            for task in (watch, reading):
                task.cancel()
            await asyncio.gather(watch, reading, return_exceptions=True)

    async def _watch(self) -> None:
        """Ends only by raising: the download must not fill the disk."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if await asyncio.to_thread(folder_size, self.home) > self.max_bytes:
                raise too_large(self.max_bytes)


def too_large(max_bytes: int) -> TerminalError:
    """The error for a repository that is larger than allowed."""
    return TerminalError(
        f"the repository is larger than {max_bytes // 2**20} MiB or has too many files; keep large files out of it",
        code=ErrorCode.SOURCE_TOO_LARGE,
        details={"max_bytes": max_bytes},
    )


async def _read(stream: asyncio.StreamReader | None, limit: int, *, strict: bool) -> str:
    """At most `limit` bytes of a stream; beyond it either an error, or the rest is discarded."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        if strict and len(kept) + len(chunk) > limit:
            raise OutputTooLargeError
        kept += chunk[: limit - len(kept)]
    return kept.decode("utf-8", errors="surrogateescape" if strict else "replace")


async def _whole(start: Coroutine[Any, Any, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """A started process, even if the starter is cancelled meanwhile: then it is ended first.

    asyncio itself would only kill the group's leader, and wait forever for pipes that it has not opened yet.
    """
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the whole process group (transport helpers, ssh) and reap its leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
