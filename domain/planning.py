"""Requirements and features: their states, and one table of transitions for each.

`python -m domain.planning > docs/states.md` writes the page that publishes the tables.
"""

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from domain.errors import UnprocessableError

STATES_FILE = "docs/states.md"


class Priority(StrEnum):
    """The contract's priorities."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class RequirementStatus(StrEnum):
    """Lifecycle of a requirement; it begins as a draft."""

    DRAFT = "draft"
    APPROVED = "approved"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class FeatureStatus(StrEnum):
    """The contract's implementation status of a feature."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    BLOCKED = "blocked"


_Q, _F = RequirementStatus, FeatureStatus

# No state is final: people change their minds, and resume what they had dropped.
REQUIREMENT_MOVES: Mapping[RequirementStatus, frozenset[RequirementStatus]] = {
    _Q.DRAFT: frozenset({_Q.APPROVED, _Q.REJECTED, _Q.CANCELLED}),
    _Q.APPROVED: frozenset({_Q.IN_PROGRESS, _Q.DRAFT, _Q.CANCELLED}),
    _Q.IN_PROGRESS: frozenset({_Q.COMPLETED, _Q.APPROVED, _Q.CANCELLED}),
    _Q.COMPLETED: frozenset({_Q.IN_PROGRESS}),
    _Q.REJECTED: frozenset({_Q.DRAFT}),
    _Q.CANCELLED: frozenset({_Q.DRAFT}),
}

FEATURE_MOVES: Mapping[FeatureStatus, frozenset[FeatureStatus]] = {
    _F.NOT_STARTED: frozenset({_F.IN_PROGRESS, _F.BLOCKED}),
    _F.IN_PROGRESS: frozenset({_F.COMPLETED, _F.BLOCKED, _F.NOT_STARTED}),
    _F.BLOCKED: frozenset({_F.IN_PROGRESS, _F.NOT_STARTED}),
    _F.COMPLETED: frozenset({_F.IN_PROGRESS}),
}

REQUIREMENT_MEANINGS: Mapping[RequirementStatus, str] = {
    _Q.DRAFT: "written down; it begins here",
    _Q.APPROVED: "wanted, nobody works on it",
    _Q.IN_PROGRESS: "its features are being made",
    _Q.COMPLETED: "done and accepted",
    _Q.REJECTED: "looked at and not wanted",
    _Q.CANCELLED: "no longer wanted",
}

FEATURE_MEANINGS: Mapping[FeatureStatus, str] = {
    _F.NOT_STARTED: "nobody works on it; it begins here",
    _F.IN_PROGRESS: "somebody works on it",
    _F.BLOCKED: "cannot go on; `blocked_reason` says why, must be given (400 without), and is null in all other states",
    _F.COMPLETED: "done",
}

_INTRODUCTION = """\
A status may stay what it is or become one of those in its row. Anything else is answered with 422
`UNPROCESSABLE`; `details` names the `state`, what was `asked`, and what is `allowed`."""

S = TypeVar("S", bound=StrEnum)


def check_move(table: Mapping[S, frozenset[S]], before: S, after: S) -> None:
    """Check that a state may follow another; staying is always possible.

    Raises:
        UnprocessableError: it may not; the message names the state and its successors.
    """
    if before == after or after in table[before]:
        return
    allowed = [state for state in table if state in table[before]]
    raise UnprocessableError(
        f"cannot go from {before} to {after}; allowed: {', '.join(allowed)}",
        details={"state": before, "asked": after, "allowed": allowed},
    )


def states_page() -> str:
    """The published page, in Markdown."""
    parts = [
        "<!-- made from domain/planning.py: python -m domain.planning > docs/states.md -->",
        "# States of requirements and features",
        _INTRODUCTION,
        "## Requirements",
        "`status` of `PATCH /requirements/{id}`.",
        _table_of(REQUIREMENT_MOVES, REQUIREMENT_MEANINGS),
        "## Features",
        "`status` of `PATCH /features/{id}/status`.",
        _table_of(FEATURE_MOVES, FEATURE_MEANINGS),
    ]
    return "\n\n".join(parts) + "\n"


def _table_of(table: Mapping[S, frozenset[S]], meanings: Mapping[S, str]) -> str:
    rows = ["| status | means | may become |", "|---|---|---|"]
    for before in table:
        allowed = ", ".join(f"`{state}`" for state in table if state in table[before])
        rows.append(f"| `{before}` | {meanings[before]} | {allowed} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(states_page())
