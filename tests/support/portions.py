"""The tests as portions that run beside each other, each by one pytest with servers of its own; the longest first.

They are balanced by what `make test` prints at its end. What is named nowhere is in the third, or in the first half
of its folder, so that a new file is never left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

Portion = tuple[str, ...]

# Of the end-to-end tests: those that have a stack of their own, and the half that has one beside the other half's.
_OWN_STACK: Final = ("tests/e2e/test_isolated.py", "tests/e2e/test_traces.py")
_SECOND_HALF: Final = tuple(
    f"tests/e2e/test_{name}.py"
    for name in (
        *(
            "bad_input",
            "canary",
            "cancelling",
            "documents",
            "foreign_text",
            "forged",
            "greedy",
            "ingress",
            "instance_recovery",
        ),
        *(
            "ordinary",
            "quota",
            "recipes",
            "redeploy",
            "reported_builds",
            "rollouts",
            "secrets",
            "strangers",
            "watching",
        ),
    )
)
_API: Final = ("tests/api", "tests/contract", "tests/fuzz")
_API_PARTS: Final = (
    *("tests/api/http", "tests/api/cli", "tests/api/openapi", "tests/api/services", "tests/api/rate_limits"),
    *("tests/api/oauth", "tests/contract", "tests/fuzz"),
)
_WORKFLOWS: Final = ("tests/workflows",)
_ACTIVITIES: Final = ("tests/activities", "tests/reconcilers", "tests/events", "tests/orchestration")
_DRIVERS: Final = ("tests/drivers",)
_ISOLATED: Final = ("tests/isolation", *_OWN_STACK)

_FIRST_HALF: Final = ("tests/e2e", *(f"--ignore={path}" for path in (*_SECOND_HALF, *_OWN_STACK)))

PORTIONS: Final[tuple[Portion, ...]] = (
    ("tests/api", *(f"--ignore={path}" for path in _API_PARTS)),
    _WORKFLOWS,
    tuple(f"--ignore={path}" for path in ("tests/e2e", *_API, *_WORKFLOWS, *_ACTIVITIES, *_DRIVERS, *_ISOLATED)),
    _DRIVERS,
    _ACTIVITIES,
    _API_PARTS,
    _SECOND_HALF,
    _FIRST_HALF,
    _ISOLATED,
)
# What these write is limited, by memory and by disk apart; in a /tmp in memory a file would count as both.
ON_DISK: Final = (_DRIVERS, _SECOND_HALF, _FIRST_HALF, _ISOLATED)

ROOT: Final = Path(__file__).resolve().parents[2]
_ON_DISK_FOLDERS: Final = ("tests/drivers", "tests/e2e", "tests/isolation")


def dealt(folders: Sequence[str], lanes: int) -> list[Portion]:
    """The test files below some folders, dealt to at most `lanes` portions of like size."""
    files = {path for folder in folders for path in (ROOT / folder).rglob("test_*.py")}
    hands: list[list[Path]] = [[] for _ in range(min(lanes, len(files)))]
    sizes = [0] * len(hands)
    for path in sorted(files, key=lambda path: (-path.stat().st_size, path)):
        lightest = sizes.index(min(sizes))
        hands[lightest].append(path)
        sizes[lightest] += path.stat().st_size
    return [tuple(sorted(str(path.relative_to(ROOT)) for path in hand)) for hand in hands]


def is_on_disk(portion: Portion) -> bool:
    """Whether what it writes is limited by memory and by disk apart: see `ON_DISK`."""
    return portion in ON_DISK or any(path.startswith(_ON_DISK_FOLDERS) for path in portion)
