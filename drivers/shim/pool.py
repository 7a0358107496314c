"""The combined usage of one owner's trees. Their shims exchange it by files, so no other process needs to run.

When the total exceeds a limit, the tree with the largest usage ends: an owner that grows is stopped by itself, whatever
each of its trees may use alone. Small trees check rarely, so that very many of them cost little.
"""

import os
import time
from typing import NamedTuple

# Seconds between two writes of the own usage, and between two reads of the others': for large and for small members.
_TELL_S, _LOOK_S, _LOOK_SELDOM_S = 1.0, 1.0, 10.0
# Fractions of the limit: above the first a member is large; below the second it is too small to be the largest.
_MUCH, _LITTLE = 8, 256
# A member without an update for this many seconds counts as dead.
_DEAD_S = 30.0
_WIDTH = 20


class Used(NamedTuple):
    """Bytes of memory and on disk, processes and threads, open files."""

    memory: int = 0
    disk: int = 0
    processes: int = 0
    files: int = 0


class Pool:
    """One member's view.

    Args:
        folder: of the owner; created if missing.
        name: of this member, unique.
        limits: limits of the total, by the names of `Used`; missing ones are unlimited.
    """

    def __init__(self, folder: str, name: str, limits: dict[str, int]) -> None:
        self._folder = folder
        self._name = name
        self._limits = limits
        self._tell_at = 0.0
        self._look_at = 0.0

    def exceeded(self, used: Used) -> str | None:
        """The exceeded limit, if this member has the largest usage of it."""
        now = time.monotonic()
        if now < self._tell_at:
            return None
        self._tell_at = now + _TELL_S
        self._tell(used)
        own = used._asdict()
        if now < self._look_at or not any(own[name] * _LITTLE > limit for name, limit in self._limits.items()):
            return None
        much = any(own[name] * _MUCH > limit for name, limit in self._limits.items())
        self._look_at = now + (_LOOK_S if much else _LOOK_SELDOM_S)
        return self._most_of(own, self._others())

    def leave(self) -> None:
        """Its usage is zero from now on."""
        try:
            os.unlink(os.path.join(self._folder, self._name))
        except OSError:
            return

    def _most_of(self, own: dict[str, int], others: dict[str, Used]) -> str | None:
        for name, limit in self._limits.items():
            theirs = {who: used._asdict()[name] for who, used in others.items()}
            if own[name] + sum(theirs.values()) > limit and all(
                (own[name], self._name) > (amount, who) for who, amount in theirs.items()
            ):
                return name
        return None

    def _tell(self, used: Used) -> None:
        """Written in place, so that a full disk does not matter; what is not written does not count."""
        text = " ".join(str(amount).rjust(_WIDTH) for amount in used) + "\n"
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            descriptor = os.open(os.path.join(self._folder, self._name), os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError:
            return

    def _others(self) -> dict[str, Used]:
        found: dict[str, Used] = {}
        try:
            names = os.listdir(self._folder)
        except OSError:
            return found
        for name in names:
            path = os.path.join(self._folder, name)
            try:
                if name == self._name or abs(time.time() - os.stat(path).st_mtime) > _DEAD_S:
                    continue
                with open(path) as file:
                    found[name] = Used(*map(int, file.read(200).split()))
            except (OSError, ValueError, TypeError):
                continue  # it has just ended, or is just starting
        return found
