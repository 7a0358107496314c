"""Simulates the canary judge and its alternatives; writes the figures into `docs/canary-judge.md` and draws the plot.

`make canary-report`, some minutes; `python -m docs.plots.canary_judge 0.1` takes a tenth of the runs and only prints.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from docs.plots.chart import Line, chart
from domain.canary.error_rate import log_not_worse
from domain.canary.policy import AnalysisPolicy
from domain.canary.two_sample import Block
from tests.domain.canary.rivals import flagger, kayenta_fails, minutes, split_bound, wald_bound
from tests.domain.canary.simulation import NEVER, Ints, counts, rates, slow_at, stopped_at, users

DOCS = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: written by make canary-report -->\n", "<!-- end of figures -->"
HOUR = 3600
ALPHA = AnalysisPolicy().alpha
OWN = math.log(6 / (4 * ALPHA))  # the error rate's share of alpha when latency is compared too
RATES = (0.001, 0.01, 0.05)
EFFECTS = (0.01, 0.02, 0.05, 0.1, 0.2)
SPLITS = {"1 %": (1, 99), "10 %": (10, 90), "50 %": (50, 50)}
HISTORY = 100_000  # stable requests counted before the analysis
PER_MINUTE, WINDOW = 600, 30  # canary requests a minute, and minutes, for the alternatives


class Report:
    """Sizes of the simulations, and the text so far."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.lines: list[str] = []

    def runs(self, full: int) -> int:
        return max(20, round(full * self.scale))

    def table(self, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.say(f"\n### {title}\n", _row(head), _row(["---"] * len(head)))
        for row in rows:
            self.say(_row(row))

    def say(self, *lines: str) -> None:
        self.lines += lines
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(stopped: Ints) -> str:
    return f"{(stopped < NEVER).mean():.2%}"


def false_alarms(report: Report) -> None:
    """Identical sides, with a look every second for an hour."""
    runs = report.runs(1000)

    def rows() -> Iterable[list[str]]:
        for split, size in SPLITS.items():
            yield [
                split,
                *(
                    _share(stopped_at(rates(*size, p, p), size, looks=HOUR, runs=runs, log_limit=math.log(20)))
                    for p in RATES
                ),
            ]

    title = f"False alarms: identical sides, a look every second for an hour, alpha 5 % ({runs} runs each)"
    report.table(title, ["canary's traffic (of 100/s)", *(f"{p:.1%} errors" for p in RATES)], rows())
    cells = np.full(20, 0.05)
    slow = slow_at((cells, cells), (10, 90), looks=HOUR, runs=report.runs(500), log_limit=math.log(20))
    report.say(f"\nLatency, identical sides, no tolerance, 20 buckets, 10 % of 100/s: {_share(slow)}.")


def requests_needed(report: Report) -> dict[float, list[tuple[float, float]]]:
    """Canary requests until a bad canary is stopped, with the default policy; returns the means by base rate."""
    means: dict[float, list[tuple[float, float]]] = {p: [] for p in RATES}

    def rows() -> Iterable[list[str]]:
        for p in RATES:
            for effect in EFFECTS:
                bound = wald_bound(ALPHA, p, p + effect)
                first = _needed(report, p, effect, 99, HISTORY)
                means[p].append((100 * effect, float(first.mean())))
                cells = [f"{first.mean():.0f} ({first.mean() / bound:.2f}x)"]
                for stable in (99, 9, 1):
                    mean = _needed(report, p, effect, stable).mean()
                    own = split_bound(ALPHA, p, p + effect, stable)
                    cells.append(f"{mean:.0f} ({mean / bound:.2f}x, {mean / own:.2f}x)")
                late = f"{np.quantile(first, 0.95):.0f}"
                yield [f"{p:.1%}", f"+{100 * effect:g}", f"{bound:.1f}", cells[0], late, *cells[1:]]

    head = ["base", "points", "Wald's bound", "1 % canary, history", "95 % within", "1 %", "10 %", "50 %"]
    title = f"Canary requests until it is stopped, alpha {ALPHA:.0%} joint ({report.runs(500)} runs each)"
    report.table(title, head, rows())
    return means


def _needed(report: Report, p: float, effect: float, stable: int, history: int = 0) -> Ints:
    draw = rates(1, stable, p + effect, p)
    before = round(p * history), history
    size = (1, stable)
    stopped = stopped_at(draw, size, looks=200_000, runs=report.runs(500), log_limit=OWN, history=before)
    if (stopped == NEVER).any():
        raise RuntimeError(f"a canary {effect:.0%} worse was not stopped")
    return stopped


def rivals(report: Report) -> dict[str, list[tuple[float, float]]]:
    """The same releases under Flagger's rule and Kayenta's test; returns points for the plot, base rate 1 %."""
    runs = report.runs(500)
    points: list[tuple[float, float]] = []

    def rows() -> Iterable[list[str]]:
        for p in RATES:
            for effect in (0.0, *EFFECTS):
                checks = flagger(p + effect, PER_MINUTE, checks=60, runs=runs)
                caught = checks[checks < NEVER]
                if p == RATES[1] and effect:
                    points.append((100 * effect, float(caught.mean()) * PER_MINUTE))
                mean = f"{caught.mean() * PER_MINUTE:.0f}" if len(caught) else "-"
                once, often = _kayenta(p, effect, min(runs, 400))
                ours = _share(
                    stopped_at(
                        rates(10, 90, p + effect, p), (10, 90), looks=60 * WINDOW, runs=min(runs, 400), log_limit=OWN
                    )
                )
                yield [f"{p:.1%}", f"+{100 * effect:g}", ours, _share(checks), mean, f"{once:.1%}", f"{often:.1%}"]

    head = ["base", "points", "judge fails it", "Flagger fails it", "after", "Kayenta fails it", "looking each minute"]
    note = f"{PER_MINUTE} canary requests a minute of ten times as many; judge and Kayenta {WINDOW} minutes, Flagger 60"
    report.table(f"Beside others ({note})", head, rows())
    return {"Flagger, 99 %, 5 checks": points, "Kayenta, at the end": [(100 * e, PER_MINUTE * WINDOW) for e in EFFECTS]}


def _kayenta(p: float, effect: float, runs: int) -> tuple[float, float]:
    canary = minutes(p + effect, PER_MINUTE, length=WINDOW, runs=runs, seed=1)
    stable = minutes(p, 9 * PER_MINUTE, length=WINDOW, runs=runs, seed=2)
    peeks = [kayenta_fails(canary[:, :end], stable[:, :end]) for end in range(5, WINDOW + 1)]
    return float(peeks[-1].mean()), float(np.any(peeks, axis=0).mean())


def sticky_users(report: Report) -> None:
    """False alarms when a user's requests fail together."""
    each, size, runs = 10, (50, 450), report.runs(400)

    def alarms(p: float, correlation: float, effect: float) -> str:
        draw, limit = users(*size, each, p, correlation), math.log(20)
        return _share(stopped_at(draw, size, looks=900, runs=runs, log_limit=limit, design_effect=effect))

    def rows() -> Iterable[list[str]]:
        for p, correlation in product((0.001, 0.01), (0.05, 0.2, 0.5)):
            kish = 1 + (each - 1) * correlation
            shares = [alarms(p, correlation, effect) for effect in (1, kish, each)]
            yield [f"{p:.1%}", f"{correlation:g}", f"{kish:.2f}", *shares]

    title = f"Sticky users: false alarms, {each} requests a user, alpha 5 %, 900 looks ({runs} runs each)"
    head = ["errors", "correlation", "1 + (m - 1) rho", "design effect 1", "1 + (m - 1) rho", f"m = {each}"]
    report.table(title, head, rows())


def early_passes(report: Report) -> None:
    """Canary requests until identical error rates are shown not to differ by the minimum effect."""
    runs = report.runs(40)

    def rows() -> Iterable[list[str]]:
        for p in RATES:
            needed = [_until_not_worse(p, np.random.default_rng(seed)) for seed in range(runs)]
            yield [f"{p:.1%}", f"{np.mean(needed):.0f}", f"{np.quantile(needed, 0.95):.0f}"]

    title = f"Canary requests until an early pass on errors: not worse by 0.5 points, beta 5 % ({runs} runs each)"
    report.table(title, ["base", "mean", "95 % within"], rows())


def _until_not_worse(p: float, random: np.random.Generator) -> int:
    log, hits, looks = 0.0, 0, 0
    while log < math.log(20):
        block = Block(int(random.binomial(20, p)), 20, int(random.binomial(180, p)), 180)
        log = log_not_worse(log, block, counts(180 * looks, hits), 0.005)
        hits, looks = hits + block.stable_hits, looks + 1
    return 20 * looks


def draw(means: dict[float, list[tuple[float, float]]], others: dict[str, list[tuple[float, float]]]) -> str:
    """Requests to stop a canary whose stable side has 1 % errors."""
    bound = [(100 * e, wald_bound(ALPHA, 0.01, 0.01 + e)) for e in EFFECTS]
    flagger_line, kayenta_line = others.items()
    lines = {
        "Wald's bound": Line(bound, "#888", "6 4"),
        "twice the bound": Line([(x, 2 * y) for x, y in bound], "#bbb", "2 4"),
        "the judge": Line(means[0.01], "#0b62c4"),
        flagger_line[0]: Line(flagger_line[1], "#d2691e"),
        kayenta_line[0]: Line(kayenta_line[1], "#8b2f8b"),
    }
    labels = (
        "percentage points more errors than the stable release's 1 %",
        "canary requests until it is stopped (mean)",
    )
    return chart("How much a bad canary costs", labels, [100 * e for e in EFFECTS], lines)


def main(scale: float) -> None:
    """Run all simulations; write the results if they have their full size."""
    report = Report(scale)
    means = requests_needed(report)
    others = rivals(report)
    false_alarms(report)
    sticky_users(report)
    early_passes(report)
    if scale >= 1:
        (DOCS / "plots" / "canary_judge.svg").write_text(draw(means, others), encoding="utf-8")
        page = DOCS / "canary-judge.md"
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        page.write_text(before + BEGIN + "\n".join(report.lines).lstrip("\n") + "\n\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1)
