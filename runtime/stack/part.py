"""What the supervisor asks of a part."""

from pathlib import Path
from typing import Protocol

from runtime.stack.process import Command


class Part(Protocol):
    """One supervised program. Methods may raise OSError or DeliveryError; each is bounded in time."""

    @property
    def name(self) -> str:
        """Also the name of its log and its record."""

    @property
    def adoptable(self) -> bool:
        """Whether one that outlived its supervisor may simply go on."""

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports it listens on."""

    @property
    def sockets(self) -> tuple[Path, ...]:
        """Unix sockets it is reached through; when one is removed under it, nothing but a new start brings it back."""

    def prepare(self) -> None:
        """Once before the first start: make folders and files."""

    def clear(self) -> None:
        """Before each start, and after each stop: remove what an unclean death left."""

    def command(self) -> Command:
        """How to start it."""

    def probe(self, pid: int) -> str | None:
        """None when it does its work, else why not yet.

        Args:
            pid: the process that should.
        """

    def settle(self) -> None:
        """Once after it became ready for the first time."""
