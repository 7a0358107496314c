"""Many analyses at once: the judge's bets on errors and on latency, in arrays.

The tables are filled by the judge's own functions, and a test compares whole runs with the judge itself.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from domain.canary.counts import WindowCounts
from domain.canary.error_rate import EFFECTS, expected_rate, odds_ratios
from domain.canary.late import NOTHING, PART
from domain.canary.latency_evidence import NO_BETS, SLOW_LEVELS, log_all_bounds
from domain.canary.one_sample import logs_above
from domain.canary.policy import AnalysisPolicy
from domain.canary.two_sample import Block, log_expected_power

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], tuple[Ints, Ints]]
"""(random, look, runs) -> errors of canary and stable in that look, one of each a run."""

NEVER = np.iinfo(np.int64).max
LATENCY_RATIOS = (1.5, 3.0, 9.0, 27.0, 81.0)


class Powers:
    """Tables of `log_expected_power` by set of ratios and number of hits, for looks of one size; filled when needed."""

    def __init__(self, size: tuple[int, int], ratios: Sequence[Sequence[float]]) -> None:
        self.size = size
        self.ratios = ratios
        self.logs = np.log(np.array(ratios))
        self._known = np.full((len(ratios), sum(size) + 1, len(ratios[0])), np.nan)

    def gain(self, which: Ints, mine: Ints, theirs: Ints) -> Floats:
        """What the bets of each run gain by a look, if it bets on the set of ratios `which`."""
        hits = mine + theirs
        found = self._known[which, hits]
        if np.isnan(found[:, 0]).any():
            self._fill({(int(i), int(y)) for i, y in zip(which, hits, strict=True)})
            found = self._known[which, hits]
        gained: Floats = mine[:, None] * self.logs[which] - found
        return gained

    def _fill(self, wanted: set[tuple[int, int]]) -> None:
        for i, hits in wanted:
            mine = min(self.size[0], hits)
            block = Block(mine, self.size[0], hits - mine, self.size[1])
            if np.isnan(self._known[i, hits, 0]):
                self._known[i, hits] = [log_expected_power(block, ratio) for ratio in self.ratios[i]]


def rates(canary: int, stable: int, p_canary: float, p_stable: float) -> Draw:
    """Independent requests."""
    return lambda random, _, runs: (random.binomial(canary, p_canary, runs), random.binomial(stable, p_stable, runs))


def users(canary: int, stable: int, each: int, p: float, correlation: float) -> Draw:
    """Users who make `each` requests in a look; one user's requests fail together (beta-binomial)."""
    a, b = p * (1 / correlation - 1), (1 - p) * (1 / correlation - 1)

    def draw(random: np.random.Generator, _: int, runs: int) -> tuple[Ints, Ints]:
        mine, theirs = (random.beta(a, b, (runs, side // each)) for side in (canary, stable))
        return random.binomial(each, mine).sum(axis=1), random.binomial(each, theirs).sum(axis=1)

    return draw


_STEPS = range(-40, 41)  # half powers of two of the odds


def _rate_of(step: int) -> float:
    odds = 2 ** (step / 2)
    return float(odds / (1 + odds))


def stopped_at(
    draw: Draw,
    size: tuple[int, int],
    *,
    looks: int,
    runs: int,
    log_limit: float,
    min_effect: float = 0.005,
    design_effect: float = 1,
    history: tuple[int, int] = (0, 0),
    seed: int = 1,
) -> Ints:
    """The look (from 1) at which each run fails the canary by its error rate; NEVER if it does not.

    `history`: errors and requests of the stable release from before.
    """
    random = np.random.default_rng(seed)
    powers = Powers(size, [odds_ratios(_rate_of(step), min_effect) for step in _STEPS])
    bets, stopped = np.zeros((runs, EFFECTS)), np.full(runs, NEVER)
    late = np.full((runs, EFFECTS), NOTHING)
    known = np.full(runs, history[0], np.int64)
    for measurement in range(looks):
        mine, theirs = draw(random, measurement, runs)
        rate = expected_rate(known, history[1] + measurement * size[1])  # type: ignore[arg-type]  # arithmetic, on arrays as on numbers
        half_powers = np.round(2 * np.log2(rate / (1 - rate))).astype(int)
        gained = powers.gain(half_powers - _STEPS[0], mine, theirs)
        bets += gained
        late = _laid(late, gained / design_effect, looks)
        known += theirs
        evidence = _evidence(bets / design_effect, late if measurement == looks - 1 else None, measurement, looks)
        stopped[(evidence >= log_limit) & (stopped == NEVER)] = measurement + 1
        if (stopped < NEVER).all():
            break
    return stopped


def above_at(
    draw: Callable[[np.random.Generator, int, int], Ints],
    size: int,
    limit: float,
    *,
    looks: int,
    runs: int,
    log_limit: float,
    seed: int = 1,
) -> tuple[Ints, Floats]:
    """The look at which each run is found above a fixed limit, and its evidence at the last look."""
    random = np.random.default_rng(seed)
    table = np.array([logs_above(hits, size, limit) for hits in range(size + 1)])
    bets, stopped = np.zeros((runs, table.shape[1])), np.full(runs, NEVER)
    late, evidence = np.full(bets.shape, NOTHING), np.zeros(runs)
    for measurement in range(looks):
        gained = table[draw(random, measurement, runs)]
        bets += gained
        late = _laid(late, gained, looks)
        evidence = _evidence(bets, late, measurement, looks)
        stopped[(evidence >= log_limit) & (stopped == NEVER)] = measurement + 1
    return stopped, evidence


def _laid(late: Floats, gained: Floats, looks: int) -> Floats:
    """The late bets after a look: its part of the stake was laid before it."""
    return np.maximum(np.logaddexp(late, np.log(PART / looks)) + gained, NOTHING)


def _evidence(bets: Floats, late: Floats | None, measurement: int, looks: int) -> Floats:
    """Of the bet from the beginning, of the late ones where they are asked for, and of what is not laid yet."""
    waiting = np.log(max(PART * (1 - (measurement + 1) / looks), np.exp(NOTHING / 2)))
    found: Floats = np.logaddexp(_mean(bets) + np.log(1 - PART), waiting)
    return found if late is None else np.logaddexp(found, _mean(late))


def _mean(logs: Floats) -> Floats:
    found: Floats = np.logaddexp.reduce(logs, axis=1) - np.log(logs.shape[1])
    return found


def slow_at(
    cells: tuple[Floats, Floats], size: tuple[int, int], *, looks: int, runs: int, log_limit: float, seed: int = 1
) -> Ints:
    """The look at which each run fails the canary by its latency, with no tolerance: the hardest case for false alarms.

    `cells` are the chances of each bucket for canary and stable, the one above all bounds last. The first look, of
    which nothing is known before, is the judge's own.
    """
    random = np.random.default_rng(seed)
    powers, only = Powers(size, [LATENCY_RATIOS]), np.zeros(runs, np.int64)
    bets = np.zeros((runs, len(SLOW_LEVELS), len(NO_BETS[0])))
    late = np.full((runs, bets[0].size), NOTHING)
    known, stopped = np.zeros((runs, len(cells[1]))), np.full(runs, NEVER)
    everyone = np.arange(runs)
    for measurement in range(looks):
        mine, theirs = (random.multinomial(n, each, runs) for n, each in zip(size, cells, strict=True))
        above = [n - np.cumsum(side, axis=1) for n, side in zip(size, (mine, theirs), strict=True)]
        below = np.cumsum(known, axis=1)[:, :-1]
        before = bets.copy()
        if not measurement:
            bets += np.array([_first(*(side[run] for side in (mine, theirs))) for run in everyone])[:, None, None]
        for at, level in enumerate(SLOW_LEVELS if measurement else ()):
            reached = below >= level * measurement * size[1]
            inside, index = reached.any(axis=1), reached.argmax(axis=1)
            gained = powers.gain(only, above[0][everyone, index], above[1][everyone, index])
            bets[inside, at] += gained[inside]
        known += theirs
        late = _laid(late, (bets - before).reshape(runs, -1), looks)
        evidence = _evidence(bets.reshape(runs, -1), late if measurement == looks - 1 else None, measurement, looks)
        stopped[(evidence >= log_limit) & (stopped == NEVER)] = measurement + 1
    return stopped


_NO_TOLERANCE = AnalysisPolicy(latency_tolerance=0, min_latency_ms=0)


def _first(mine: Ints, theirs: Ints) -> float:
    return log_all_bounds(bucketed(mine), bucketed(theirs), _NO_TOLERANCE)


def bucketed(cells: Ints) -> WindowCounts:
    """A window with so many requests in each bucket, the one above all bounds last."""
    total = int(cells.sum())
    bounds = tuple(float(10 * (i + 1)) for i in range(len(cells) - 1))
    below = tuple(int(count) for count in np.cumsum(cells)[:-1])
    return WindowCounts(requests=total, timed=total, bounds=bounds, at_or_below=below)


def counts(requests: int, errors: int) -> WindowCounts:
    """A window without latencies."""
    return WindowCounts(requests=requests, errors=errors)
