"""CPU time of processes, in nanoseconds where `psutil` counts ticks of ten milliseconds; and what pairs of it say."""

import random
import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

DRAWS = 2000
_NANO = 1e-9


def cpu_s(*pids: int) -> float:
    """Seconds that the threads of these processes have used; of threads that ended meanwhile nothing is known."""
    return sum(_thread_s(task) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir())


def _thread_s(task: Path) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int((task / "schedstat").read_text().split()[0]) * _NANO
    return 0.0


def in_percent(ratios: Sequence[float]) -> str:
    """The median of `with / without` as a difference, and where it lies with 95 % (bootstrap)."""
    dice = random.Random(1)  # noqa: S311 - a statistic
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    low, high = medians[DRAWS // 40], medians[-1 - DRAWS // 40]
    middle, low, high = (100 * (one - 1) for one in (statistics.median(ratios), low, high))
    return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f})"
