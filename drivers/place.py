"""Where other people's code finds its folders: at fixed places wherever that can be had, else where they really are."""

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

# A name for a unix socket has 107 bytes; programs put folders and names of their own below TMPDIR.
_LONG = 50


@dataclass(frozen=True)
class Folders:
    """The folders of one build or instance, as the engine sees them.

    Attributes:
        app: what is at `sandbox.APP`, or below it at `at`.
        at: of the repository's root, where `app` is: `.`, `apps/web`, `apps/web/dist`.
        cwd: of `app`, where commands run.
        state: for the builder's own notes, when it has any.
        read_only: `app` cannot be written, where that can be had.
    """

    app: Path
    home: Path
    tmp: Path
    at: str = "."
    cwd: str = "."
    state: Path | None = None
    read_only: bool = False


class Command(NamedTuple):
    """What a shim is told: `inputs` are what `argv` reads from descriptors (`ShimSpec.inputs`)."""

    argv: list[str]
    env: dict[str, str]
    inputs: dict[str, str]


@dataclass(frozen=True)
class Place:
    """What a command is run behind, and the folders as it sees them.

    Attributes:
        wrapper: words before the command's own.
        levels: how many processes `wrapper` puts above the command.
        inputs: what `wrapper` reads from descriptors.
        inner: words behind the wrapper's end: a program that starts the command (the bridge).
        proxied: the way out is a proxy.
        mounts: folders of the engine by where the command sees them; empty: at their own paths.
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
        """The command behind its wrapper, and the environment to start both with.

        What the loader and its library obey is set inside: outside it would have the sandbox's own program load foreign
        code. It is told by a descriptor: a value may be a secret, and everybody sees command lines.
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
    """For strangers' code: nothing of the host but what a program needs; with a `network`, nothing of the host's."""
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
    """For builds of trusted code: the host without what is private."""
    cwd, mounts = _mounted(folders)
    return _inside(cwd, mounts, sandbox.shielded(cwd=cwd, mounts=mounts, hidden=hidden, readable=readable))


def trusted(folders: Folders) -> Place:
    """With the host as it is; without mount namespaces at the folders' own paths, TMPDIR under a short name."""
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
    """Remove the short name that a TMPDIR may have been given."""
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
    """A short link to a folder with a long path; the folder itself where the name is somebody else's."""
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
