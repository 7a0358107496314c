"""Where the links in a build's tree lead, as the build and the instance see them."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers import sandbox
from drivers.folders import MAX_LINKS, MAX_PARTS


def _nothing(path: str) -> str | None:  # noqa: ARG001 - says of no path that it is hidden
    return None


@dataclass(frozen=True)
class Origin:
    """Where a tree was built.

    Attributes:
        root: the whole checkout, at `sandbox.APP` in builds and instances.
        home: HOME of the build, at `sandbox.HOME`; None: no HOME.
        hidden: returns why an instance will not see a path of the system; None if it will.
    """

    root: Path
    home: Path | None = None
    hidden: Callable[[str], str | None] = _nothing

    @property
    def roots(self) -> dict[str, str]:
        """Real folders by their paths inside the sandbox."""
        found = {sandbox.APP: os.path.realpath(self.root)}
        return found | ({sandbox.HOME: os.path.realpath(self.home)} if self.home else {})


class Way:
    """Resolves links in the file system as sandboxed code saw it, with checkout and HOME mounted at their places."""

    def __init__(self, roots: dict[str, str]) -> None:
        self._roots = roots

    def real(self, path: str) -> str:
        """The real path of a sandbox path."""
        return _moved(path, self._roots)

    def seen(self, path: str) -> str:
        """The sandbox path of a real path."""
        return _moved(path, {real: place for place, real in self._roots.items()})

    def end(self, at: str, target: str, stop_inside: tuple[str, ...]) -> str | None:
        """Resolve a target from a folder as the kernel does; None: too many links.

        An absolute link on the way that lies inside `stop_inside` ends the resolution: it is packaged and checked by
        itself.
        """
        if target.startswith("/"):
            at, target = "/", self.seen(target)
        rest, links, parts = _reversed(target), 1, 0
        while rest:
            name = rest.pop()
            parts += 1
            if parts > MAX_PARTS or links > MAX_LINKS:
                return None
            if name == "..":
                at = os.path.dirname(at)  # noqa: PTH120 - hot path
                continue
            ahead = os.path.join(at, name)  # noqa: PTH118 - hot path
            try:
                further = os.readlink(self.real(ahead))  # noqa: PTH115 - hot path
            except OSError:  # not a link, or missing
                at = ahead
                continue
            links += 1
            if further.startswith("/"):
                if is_below(ahead, *stop_inside):
                    return ahead
                at, further = "/", self.seen(further)
            rest.extend(_reversed(further))
        return at


def unseen(*, isolated: bool, data: Sequence[Path], shown: Sequence[Path] = ()) -> Callable[[str], str | None]:
    """Returns a function that says why instances on this machine do not see a path of the system.

    Args:
        isolated: instances run isolated.
        data: folders and files of the engine.
        shown: paths that isolated instances see in addition to the standard ones.
    """
    hidden = [*map(os.path.realpath, data), *(("",) if isolated else sandbox.SHORT_LIVED)]
    system = map(os.path.realpath, sandbox.shows()) if isolated else ()
    visible = [*system, *(os.path.realpath(path) for path in (Path(sys.base_prefix), *shown))]

    def why(path: str) -> str | None:
        above = max((root for root in (*hidden, *visible) if is_below(path, root)), key=len, default="")
        return "into a folder that services do not find" if above in hidden else None

    return why


def is_below(path: str, *roots: str) -> bool:
    """Whether a path is one of the roots or below one."""
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def leaves(folder: str, target: str) -> bool:
    """Whether a relative target lexically leaves the archive's root from a folder in it."""
    there = os.path.normpath(f"{folder}/{target}" if folder else target)
    return there == ".." or there.startswith("../")


def _moved(path: str, moves: dict[str, str]) -> str:
    for old, new in moves.items():
        if is_below(path, old):
            return new + path[len(old) :]
    return path


def _reversed(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
