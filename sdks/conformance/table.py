"""The table of language x scenario, and what was wrong."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sdks.conformance.play import Played
from sdks.conformance.scenario import Scenario

Results = Mapping[str, Mapping[str, Played]]


def print_table(
    console: Console,
    scenarios: Sequence[Scenario],
    results: Results,
    skipped: Mapping[str, str],
    broken: Mapping[str, str],
) -> None:
    """Print what came of each scenario in each language, and why languages were skipped.

    Args:
        console: where to.
        scenarios: the table's rows.
        results: by language and scenario.
        skipped: languages whose tools are not on this machine, and which.
        broken: languages that have no runner, and why.
    """
    table = Table(title="Conformance", header_style="bold")
    table.add_column("scenario")
    for language in (*results, *broken, *skipped):
        table.add_column(language, justify="center")
    for one in scenarios:
        cells = [_cell(played.get(one.name)) for played in results.values()]
        table.add_row(
            escape(one.name), *cells, *("[red]none[/]" for _ in broken), *("[yellow]skipped[/]" for _ in skipped)
        )
    table.add_section()
    totals = [f"{sum(not one.fault for one in played.values())}/{len(scenarios)}" for played in results.values()]
    table.add_row("green", *totals, *("[red]0[/]" for _ in broken), *("[yellow]-[/]" for _ in skipped))
    console.print(table)
    for language, why in broken.items():
        console.print(f"[bold red]NOT RUN: {escape(language)}: {escape(why)}[/]", soft_wrap=True)
    for language, why in skipped.items():
        console.print(f"[bold yellow]SKIPPED: {escape(language)}: {escape(why)}[/]", soft_wrap=True)


def print_faults(console: Console, results: Results) -> None:
    """What was wrong, scenario by scenario."""
    for language, played in results.items():
        for one in played.values():
            if one.fault:
                console.print(f"[red]{language} {escape(one.scenario)}[/]: {escape(one.fault)}", soft_wrap=True)


def _cell(played: Played | None) -> str:
    if played is None:
        return "[red]not run[/]"
    return "[red]red[/]" if played.fault else "[green]green[/]"
