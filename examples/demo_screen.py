"""What the demo shows: progress bars on a terminal, one line a step anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from examples.client import Json


class Screen:
    """Writes to standard output; knows by itself whether that is a terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n{text}", style="bold", markup=False)

    def good(self, text: str) -> None:
        """Something that was checked and is so."""
        self.console.print(Text.assemble("  ", ("✓", "green"), f" {text}"), soft_wrap=True)

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self.console.print(f"    {text}", style="dim", markup=False, soft_wrap=True)

    def bad(self, text: str) -> None:
        """Why the demo failed."""
        self.console.print(f"\n✗ {text}", style="bold red", markup=False, soft_wrap=True)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner around something that takes a while."""
        if self.console.is_terminal:
            with self.console.status(text):
                yield
        else:
            self.note(text)
            yield

    @contextmanager
    def following(self, text: str) -> Iterator["Follower"]:
        """Progress of one operation: hand every answer about it to the follower."""
        if not self.console.is_terminal:
            yield Follower(self, None)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[step]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            yield Follower(self, (progress, progress.add_task(text, total=100, step="")))

    def table(self, rows: dict[str, str]) -> None:
        """Names and values."""
        table = Table.grid(padding=(0, 3))
        for name, value in rows.items():
            table.add_row(f"  {name}", value)
        self.console.print(table, soft_wrap=True)


class Follower:
    """Shows an operation as it goes on."""

    def __init__(self, screen: Screen, bar: tuple[Progress, TaskID] | None) -> None:
        self._screen = screen
        self._bar = bar
        self._last = ""

    def seen(self, operation: Json) -> None:
        """Show an answer of `GET /operations/{id}`."""
        percent, step = operation.get("progress_percent") or 0, str(operation.get("current_step") or "")
        if self._bar:
            progress, task = self._bar
            progress.update(task, completed=percent, step=step)
        elif step and step != self._last:
            self._screen.note(f"{percent:>3} %  {step}")
        self._last = step
