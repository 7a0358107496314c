"""Server-sent events, as WHATWG defines them, from the pieces of a body."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

# A line that never ends would be kept for ever.
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Event:
    """One event."""

    name: str
    data: str
    id: str | None
    """Of this event or the last one that had one."""


class LineFeed:
    """The lines of a body, from its pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, piece: bytes) -> Iterator[str]:
        r"""The lines that are whole now. `\r\n`, `\n` and `\r` end one.

        Raises:
            ValueError: A line is too long.
        """
        # A piece may end between \r and \n: the \r waits for what follows.
        text = self._rest + self._decoder.decode(piece)
        kept = "\r" if text.endswith("\r") else ""
        *whole, rest = text.removesuffix(kept).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + kept
        if len(self._rest) > MOST_BYTES:
            raise ValueError("a line of more than 16 MiB")
        yield from whole

    def end(self) -> Iterator[str]:
        """What is left when the body is over."""
        rest = (self._rest + self._decoder.decode(b"", final=True)).rstrip("\r")
        self._rest = ""
        if rest:
            yield rest


class Events:
    """The events of a stream, from its pieces; what is not whole when it breaks is dropped."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self.retry_s: float | None = None
        """How long the server wants us to wait before we connect again."""
        self._lines = LineFeed()
        self._name = ""
        self._data: list[str] = []
        self._first = True

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that are whole now."""
        for line in self._lines.feed(piece):
            text = line.removeprefix("\ufeff") if self._first else line
            self._first = False
            if text:
                self._field(text)
            elif event := self._event():
                yield event

    def _event(self) -> Event | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        return Event(name, "\n".join(data), self.last_id) if data else None

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isdecimal():
            self.retry_s = int(value) / 1000
