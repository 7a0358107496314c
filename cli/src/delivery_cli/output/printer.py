"""What a command answers with: a table or lines for people, JSON for programs, and questions."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TextIO

from delivery_cli.dispatch import ALL_FIELDS
from delivery_cli.faults import UsageFault
from delivery_cli.output.clean import clean, one_line

if TYPE_CHECKING:
    from rich.console import Console

Rows = Sequence[Mapping[str, Any]]
MIN_COLUMN: Final = 6
YES: Final = frozenset({"y", "yes"})


class Printer:
    """Writes to standard output; remarks go to standard error, so that a pipe gets the answer alone."""

    def __init__(self, fields: str = "", jq: str = "") -> None:
        self._fields = [name.strip() for name in fields.split(",") if name.strip()]
        self._jq = jq
        if jq and not self._fields:
            self._fields = [ALL_FIELDS]

    @property
    def as_json(self) -> bool:
        """Whether a program reads it."""
        return bool(self._fields)

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads it, on a screen."""
        return sys.stdout.isatty() and not self.as_json and os.environ.get("TERM") != "dumb"

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to answer a question."""
        return sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")

    @cached_property
    def console(self) -> "Console":
        """Rich's; without colours where `NO_COLOR` says so or nobody looks."""
        from rich.console import Console

        return Console(
            highlight=False, markup=False, emoji=False, no_color=None if colours() else True, soft_wrap=False
        )

    def answer(self, value: Any, text: str | None = None) -> None:
        """One thing: as JSON if that is asked for, else `text`, which is by default its fields line by line."""
        if self.as_json:
            self._json(value)
        elif text is not None:
            self.line(text)
        else:
            self.fields(value)

    def answer_json(self, value: Any) -> None:
        """The answer for programs, where people have seen it already."""
        if self.as_json:
            self._json(value)

    def table(self, rows: Rows, columns: Mapping[str, str], *, none: str = "none") -> None:
        """Many things: `columns` are headers by field. Cut to the terminal; in a pipe whole, between tabs."""
        if self.as_json:
            self._json(list(rows))
            return
        if not rows:
            self.note(none)
            return
        cells = [[text_of(row.get(key)) for key in columns] for row in rows]
        if not sys.stdout.isatty():
            for row in cells:
                self.line("\t".join(row))
            return
        for line in laid_out([list(columns.values()), *cells], self.console.width):
            self.line(line)

    def fields(self, value: Mapping[str, Any]) -> None:
        """Names and values, one a line."""
        shown = {key: text_of(inner) for key, inner in value.items() if inner not in (None, "", [], {})}
        width = max((len(key) for key in shown), default=0)
        for key, inner in shown.items():
            self.line(f"{key:<{width}}  {inner}")

    def line(self, text: str) -> None:
        """As it is, but for control sequences of strangers."""
        write(sys.stdout, clean(text))

    def note(self, text: str) -> None:
        """A remark for people, not part of the answer."""
        if not self.as_json:
            write(sys.stderr, clean(text))

    def stream(self, value: Mapping[str, Any], text: str) -> None:
        """One of many, as it comes: a line of JSON, or of text."""
        if self.as_json:
            self._json(value, compact=True)
        else:
            self.line(text)
        sys.stdout.flush()

    def ask(self, question: str) -> bool:
        """Ask on standard error; only `y` and `yes` are a yes."""
        sys.stderr.write(f"{clean(question)} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in YES

    def _json(self, value: Any, *, compact: bool = False) -> None:
        chosen = value if self._fields == [ALL_FIELDS] else self._chosen(value)
        if self._jq:
            for found in filtered(chosen, self._jq):
                write(
                    sys.stdout, _on_screen(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))
                )
            return
        indent = 2 if sys.stdout.isatty() and not compact else None
        write(sys.stdout, _on_screen(json.dumps(chosen, ensure_ascii=False, indent=indent)))

    def _chosen(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._chosen(one) for one in value]
        if unknown := [name for name in self._fields if name not in value]:
            raise UsageFault(
                f"there is no field {', '.join(unknown)}",
                f"there are: {', '.join(sorted(value))}",
            )
        return {name: value[name] for name in self._fields}


def _on_screen(text: str) -> str:
    """A program gets it as it is; a terminal without control sequences of strangers."""
    return clean(text) if sys.stdout.isatty() else text


def write(stream: TextIO, text: str) -> None:
    """One line, whatever the terminal's encoding can say."""
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def colours() -> bool:
    """Whether colours are wanted: on a terminal, and `NO_COLOR` is empty."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def filtered(value: Any, program: str) -> Iterator[Any]:
    """What a jq program makes of it; raises `UsageFault` with jq's words."""
    try:
        import jq
    except ImportError as error:
        raise UsageFault("--jq needs the package jq", "pip install jq, or pipe --json into jq") from error
    try:
        yield from jq.compile(program).input_value(value)
    except ValueError as error:
        raise UsageFault(f"--jq: {one_line(str(error))}") from error


def text_of(value: Any) -> str:
    """A cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(text_of(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text_of(inner)}" for key, inner in value.items())
    return one_line(str(value))


def laid_out(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Columns beside each other; the widest give way until a line fits."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > MIN_COLUMN:
        widths[widths.index(max(widths))] -= 1
    return [
        "  ".join(one_line(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
