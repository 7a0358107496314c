"""Where the links that a build left lead, as the build and the instance see them."""

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
        home: HOME of the build, at `sandbox.HOME`; None: there was none.
        hidden: says why an instance will not find a path of the system, None when it will.
    """

    root: Path
    home: Path | None = None
    hidden: Callable[[str], str | None] = _nothing

    @property
    def roots(self) -> dict[str, str]:
        """Real folders by where code sees them."""
        found = {sandbox.APP: os.path.realpath(self.root)}
        return found | ({sandbox.HOME: os.path.realpath(self.home)} if self.home else {})


class Way:
    """Follows links in the file system as code saw it: the checkout and HOME at their places, the rest as it is."""

    def __init__(self, roots: dict[str, str]) -> None:
        self._roots = roots

    def real(self, path: str) -> str:
        """Where the engine finds a path of that view."""
        return _moved(path, self._roots)

    def seen(self, path: str) -> str:
        """The other way round."""
        return _moved(path, {real: place for place, real in self._roots.items()})

    def end(self, at: str, target: str, stop_inside: tuple[str, ...]) -> str | None:
        """Where one gets from a folder by a target, as the kernel goes; None: it is too long a way.

        An absolute link on the way that lies inside of `stop_inside` ends it: it is packaged, and judged by itself.
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
            except OSError:  # no link, or nothing there
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
    """Says why instances on this machine do not find a path of the system.

    Args:
        isolated: they run isolated.
        data: folders and files of the engine.
        shown: what isolated ones see besides what they see of every system.
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
    """Whether a relative target leads above the top, going by its words alone from a folder in the archive."""
    there = os.path.normpath(f"{folder}/{target}" if folder else target)
    return there == ".." or there.startswith("../")


def _moved(path: str, moves: dict[str, str]) -> str:
    for old, new in moves.items():
        if is_below(path, old):
            return new + path[len(old) :]
    return path


def _reversed(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
