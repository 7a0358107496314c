"""What the trees of one owner take together. Their shims tell each other by files: nobody else need be alive for it.

When all together take too much, the one that takes the most ends: an owner that grows is stopped by itself, whatever
each of its trees may take alone. Trees that take little look seldom, so that very many of them cost little.
"""

import os
import time
from typing import NamedTuple

# Seconds between two words of one's own, and between two looks at the others: for who takes much, and for who does not.
_TELL_S, _LOOK_S, _LOOK_SELDOM_S = 1.0, 1.0, 10.0
# A part of the limit: from there on one takes much, and below it too little to be the one with the most.
_MUCH, _LITTLE = 8, 256
# Who has not said anything for so many seconds is dead.
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
        folder: of the owner; made when it is missing.
        name: this member's, unlike all others'.
        limits: of all together, by the names of `Used`; what is missing has none.
    """

    def __init__(self, folder: str, name: str, limits: dict[str, int]) -> None:
        self._folder = folder
        self._name = name
        self._limits = limits
        self._tell_at = 0.0
        self._look_at = 0.0

    def exceeded(self, used: Used) -> str | None:
        """Of what there is too much, if this member takes the most of it."""
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
        """It takes nothing any more."""
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
        """In place, so that a full disk does not matter; not told is not counted."""
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
                continue  # it has just ended, or just begins
        return found
