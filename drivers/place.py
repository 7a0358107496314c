"""Where other people's code sees its folders: at fixed paths if the machine supports it, else at their real paths."""

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from domain.secrets import is_read_early
from drivers import sandbox
from drivers.bridge.network import Network
from drivers.shim.spec import INPUT

# A unix socket's path has at most 107 bytes; programs put folders and names of their own below TMPDIR.
_LONG = 50


@dataclass(frozen=True)
class Folders:
    """The folders of one build or instance, as the engine sees them.

    Attributes:
        app: mounted at `sandbox.APP`, or below it at `at`.
        at: the path of `app` in the repository: `.`, `apps/web`, `apps/web/dist`.
        cwd: the path in `app` where commands run.
        state: the builder's own files, if it has any.
        read_only: `app` is read-only, if the machine supports it.
    """

    app: Path
    home: Path
    tmp: Path
    at: str = "."
    cwd: str = "."
    state: Path | None = None
    read_only: bool = False


class Command(NamedTuple):
    """A command for the shim: `inputs` are read by `argv` from file descriptors (`ShimSpec.inputs`)."""

    argv: list[str]
    env: dict[str, str]
    inputs: dict[str, str]


@dataclass(frozen=True)
class Place:
    """The wrapper of a command, and the folders as the command sees them.

    Attributes:
        wrapper: the command line prefix.
        levels: number of processes that `wrapper` adds above the command.
        inputs: data that `wrapper` reads from file descriptors.
        inner: a prefix after the wrapper: a program that starts the command (the bridge).
        proxied: egress goes through a proxy.
        mounts: folders of the engine by their paths inside; empty: at their own paths.
    """

    cwd: str
    home: str
    tmp: str
    state: str = ""
    wrapper: tuple[str, ...] = ()
    levels: int = 0
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    inner: tuple[str, ...] = ()
    proxied: bool = False
    mounts: Mapping[str, Path] = field(default_factory=dict)

    def command(self, argv: Sequence[str], env: Mapping[str, str]) -> Command:
        """The command with its wrapper, and the environment to start both with.

        Variables of the dynamic loader are set inside only: outside they would make the sandbox's own program load
        foreign code. They are passed by a file descriptor: values may be secrets, and command lines are visible to
        everybody.
        """
        if not self.wrapper:
            return Command(list(argv), dict(env), {})
        *before, end = self.wrapper
        inputs = dict(self.inputs)
        loader = {name: value for name, value in env.items() if is_read_early(name)}
        if loader:
            words = [word for name, value in loader.items() for word in ("--setenv", name, value)]
            inputs["environment"] = "".join(f"{word}\0" for word in words).encode(errors="surrogateescape")
            before += ["--args", f"{INPUT}environment"]
        rest = {name: value for name, value in env.items() if name not in loader}
        return Command(
            [*before, end, *self.inner, *argv], rest, {name: content.hex() for name, content in inputs.items()}
        )


def isolated(
    folders: Folders, *, hidden: Sequence[Path], readable: Sequence[Path] = (), network: Network | None = None
) -> Place:
    """For untrusted code: nothing of the host but what programs need, and with a `network` not the host's network."""
    cwd, mounts = _mounted(folders)
    shown = {place: path for place, path in mounts.items() if folders.read_only and path == folders.app}
    writable = {place: path for place, path in mounts.items() if place not in shown}
    wrapper = sandbox.isolated(
        cwd=cwd,
        mounts=writable,
        shown=shown,
        hidden=hidden,
        readable=readable,
        network=network.sandbox if network else (),
        hosts=network.hosts if network else None,
        files=network.files if network else None,
    )
    inside = _inside(cwd, mounts, wrapper)
    if network is None:
        return inside
    wrapped = (*network.around, *inside.wrapper)
    return replace(inside, wrapper=wrapped, inner=network.before, proxied=network.proxied)


def shielded(folders: Folders, *, hidden: Sequence[Path], readable: Sequence[Path] = ()) -> Place:
    """For builds of trusted code: the host without private folders."""
    cwd, mounts = _mounted(folders)
    return _inside(cwd, mounts, sandbox.shielded(cwd=cwd, mounts=mounts, hidden=hidden, readable=readable))


def trusted(folders: Folders) -> Place:
    """With the host unchanged; without mount namespaces, folders have their real paths and TMPDIR a short name."""
    if sandbox.can_mount():
        cwd, mounts = _mounted(folders)
        return _inside(cwd, mounts, sandbox.trusted(cwd=cwd, mounts=mounts))
    return Place(
        cwd=str(folders.app / folders.cwd),
        home=str(folders.home),
        tmp=str(_short(folders.tmp)),
        state=str(folders.state or ""),
    )


def forget(tmp: Path) -> None:
    """Remove the short name of a TMPDIR."""
    alias = _alias(tmp)
    with contextlib.suppress(OSError):
        if _is_ours(alias, tmp):
            alias.unlink()


def _mounted(folders: Folders) -> tuple[str, dict[str, Path]]:
    app = os.path.normpath(f"{sandbox.APP}/{folders.at}")
    mounts = {app: folders.app, sandbox.HOME: folders.home, sandbox.TMP: folders.tmp}
    if folders.state is not None:
        mounts[sandbox.STATE] = folders.state
    return os.path.normpath(f"{app}/{folders.cwd}"), mounts


def _inside(cwd: str, mounts: Mapping[str, Path], wrapper: sandbox.Wrapper) -> Place:
    return Place(
        cwd=cwd,
        home=sandbox.HOME,
        tmp=sandbox.TMP,
        state=sandbox.STATE,
        wrapper=wrapper.words,
        levels=wrapper.levels,
        inputs=wrapper.inputs,
        mounts=mounts,
    )


def _short(tmp: Path) -> Path:
    """A short link to a folder with a long path; the folder itself if the name is taken."""
    if len(os.fsencode(tmp)) <= _LONG:
        return tmp
    alias = _alias(tmp)
    with contextlib.suppress(FileExistsError):
        alias.symlink_to(tmp)
    return alias if _is_ours(alias, tmp) else tmp


def _alias(tmp: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(tmp)).hexdigest()[:12]
    return Path("/tmp") / f"d-{digest}"  # noqa: S108 - owner and target are looked at


def _is_ours(alias: Path, tmp: Path) -> bool:
    try:
        return alias.readlink() == tmp and alias.lstat().st_uid == os.getuid()
    except OSError:
        return False
