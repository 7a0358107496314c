"""The table of kills, for people."""

from collections.abc import Sequence

from tests.chaos.scenario import Outcome
from tests.chaos.victims import Victim


def line(outcome: Outcome) -> str:
    """One kill in one line, printed as soon as it is over."""
    verdict = "ok" if not outcome.wrong else "BROKEN"
    return (
        f"{outcome.victim:<9} at {outcome.moment.name:<16} {outcome.end:<12} {outcome.seconds:5.1f} s "
        f"{outcome.failed:>3} of {outcome.requests:>4} requests failed  {verdict}"
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Process x step: seconds to the end, failed requests, and whether everything was in order."""
    moments = sorted({o.moment for o in outcomes}, key=lambda m: m.order)
    victims = [v for v in Victim if any(o.victim is v for o in outcomes)]
    cells = {(o.victim, o.moment): _cell(o) for o in outcomes}
    rows = [["killed at", *(str(v) for v in victims)]]
    rows += [[m.name, *(cells.get((v, m), "-") for v in victims)] for m in moments]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _cell(outcome: Outcome) -> str:
    if outcome.wrong:
        return f"BROKEN ({outcome.end})"
    failed = f" {outcome.failed} failed" if outcome.failed else ""
    return f"{outcome.end} {outcome.seconds:.1f} s{failed}"


def complaints(outcomes: Sequence[Outcome]) -> list[str]:
    """Everything that was not in order."""
    return [f"{o.victim} at {o.moment.name} (stood at {o.stood_at!r}): {fault}" for o in outcomes for fault in o.wrong]


def summary(outcomes: Sequence[Outcome], wanted: int) -> str:
    """The last line."""
    broken = sum(bool(o.wrong) for o in outcomes)
    rest = f", {wanted - len(outcomes)} not run: the time was over" if len(outcomes) < wanted else ""
    return f"{len(outcomes)} kills, {broken} of them left something wrong{rest}"
