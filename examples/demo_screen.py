"""The output of the demo: progress bars on a terminal, otherwise one line per step."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from examples.client import FINISHED, Json

BAR_WIDTH = 20  # constant width, fits into 80 columns with the longest step
ERROR_SCALE = 10  # the bars of error rates are full at ten percent


class Screen:
    """Writes to standard output; detects whether that is a terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n{text}", style="bold", markup=False)

    def good(self, text: str) -> None:
        """A check that passed."""
        self._line(("  ✓", "green"), Text(text))

    def note(self, text: str) -> None:
        """A remark."""
        self._line(("   ", ""), Text(text, "dim"))

    def _line(self, mark: tuple[str, str], words: Text) -> None:
        """On a terminal, wraps between words and stays beside its mark; a file gets searchable lines."""
        if not self.console.is_terminal:
            self.console.print(Text.assemble(mark, " ", words), soft_wrap=True)
            return
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_row(Text(*mark), words)
        self.console.print(line)

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
        """Progress of one operation: pass every answer about it to the follower."""
        if not self.console.is_terminal:
            yield Follower(self, None)
            return
        columns = (
            _Spinner(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[figure]:>5}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[step]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            try:
                yield Follower(self, (progress, progress.add_task(text, total=100, step="", figure="0 %", ended=False)))
            finally:
                for task in progress.task_ids:
                    progress.update(task, ended=True)

    def table(self, rows: dict[str, str]) -> None:
        """Names and values."""
        table = Table.grid(padding=(0, 3))
        for name, value in rows.items():
            table.add_row(f"  {name}", value)
        self.console.print(table, soft_wrap=True)


class _Spinner(SpinnerColumn):
    """Spins while the operation runs, even if its bar ends before it is full; then it disappears."""

    def render(self, task: Task) -> RenderableType:
        return Text(" ") if task.fields["ended"] else super().render(task)


class Follower:
    """Shows the progress of an operation, and the evidence during its analysis."""

    def __init__(self, screen: Screen, bar: tuple[Progress, TaskID] | None) -> None:
        self._screen = screen
        self._bar = bar
        self._rows: dict[str, TaskID] = {}
        self._last = ""
        self._said = ""

    def seen(self, operation: Json, analysis: Json | None = None) -> None:
        """Show an answer of `GET /operations/{id}` and the `analysis` of its deployment."""
        percent, step = operation.get("progress_percent") or 0, str(operation.get("current_step") or "")
        if self._bar:
            progress, task = self._bar
            ended = operation.get("status") in FINISHED
            progress.update(task, completed=percent, figure=f"{percent} %", step=operation["status"] if ended else step)
        elif step and step != self._last:
            self._screen.note(f"{percent:>3} %  {step}")
        self._last = step
        errors = _error_rate(analysis)
        if analysis and errors:
            self._judged(analysis, errors)

    def _judged(self, analysis: Json, errors: Json) -> None:
        canary, stable = errors["canary"], errors["stable"]
        evidence, limit = max(1.0, errors["evidence"] or 1.0), errors["limit"] or 1.0
        weight = analysis.get("weight") or 0
        if self._bar is None:
            sides = f"errors {_rate(canary)}; stable {_rate(stable)}"
            words = f"{weight} % canary: {sides}; evidence {evidence:.1f} of {limit:g}"
            if words != self._said:
                self._said = words
                self._screen.note(f"       {words}")
            return
        self._row("weight", weight, f"{weight} % of the traffic")
        self._row("stable", (stable["value"] or 0) * ERROR_SCALE, f"errors {_rate(stable)}")
        self._row("canary", (canary["value"] or 0) * ERROR_SCALE, f"errors {_rate(canary)}")
        share = 100 * math.log(evidence) / math.log(limit) if limit > 1 else 0
        self._row("evidence", share, f"{evidence:.1f} of {limit:g} against the canary")

    def _row(self, name: str, completed: float, words: str) -> None:
        if self._bar is None:
            return
        progress, _ = self._bar
        if name not in self._rows:
            self._rows[name] = progress.add_task(f"    {name}", total=100, step="", figure="", ended=False)
        progress.update(self._rows[name], completed=min(100.0, completed), step=words)


def _error_rate(analysis: Json | None) -> Json | None:
    """The comparison of error rates, once both sides were seen."""
    metrics = (analysis or {}).get("metrics") or []
    found = next((metric for metric in metrics if metric["metric"] == "error_rate"), None)
    return found if found and found.get("stable") else None


def _rate(side: Json) -> str:
    return f"{side['value'] or 0:.1f} % of {side['requests']}"
