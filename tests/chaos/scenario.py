"""One kill: deliver a version under load, kill a process at a moment, look at the end."""

import time
from dataclasses import dataclass, field
from typing import Any

from examples.client import Service
from tests.chaos.arena import Arena
from tests.chaos.invariants import settled
from tests.chaos.moments import Moment, Row
from tests.chaos.victims import MAY_FAIL, RPS, Victim, await_back, kill
from tests.chaos.watching import await_end, await_moment
from tests.support.load_process import LoadProcess, load_on


@dataclass
class Outcome:
    """What came of one kill. `wrong` empty: every invariant holds."""

    victim: Victim
    moment: Moment
    end: str = "?"
    stood_at: str = ""
    seconds: float = 0.0
    settled_seconds: float = 0.0
    requests: int = 0
    failed: int = 0
    examples: list[Any] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def run_scenario(arena: Arena, victim: Victim, moment: Moment) -> Outcome:
    """Carry out one kill; a fault of any kind becomes part of the outcome, so that the others still run."""
    outcome = Outcome(victim, moment)
    try:
        arena.refresh()
        service = arena.app.service
        with load_on(service, rps=RPS) as load:
            _deliver_and_kill(arena, outcome, service, load)
    except Exception as error:  # noqa: BLE001 - of whatever kind: the table tells it
        outcome.wrong.append(f"{type(error).__name__}: {error}")
    return outcome


def _deliver_and_kill(arena: Arena, outcome: Outcome, service: Service, load: LoadProcess) -> None:
    serving = str(arena.records.environment(arena.project_id)["current_release_id"])
    begun = arena.ship()
    began = time.monotonic()
    operation_id = begun.accepted.operation_id
    row = await_moment(arena.records, operation_id, outcome.moment, arena.moments)
    outcome.stood_at = str(row["current_step"])
    pid = kill(outcome.victim, arena.records, operation_id=operation_id, moment=outcome.moment, serving=serving)
    row = await_end(arena.records, operation_id)
    outcome.seconds = time.monotonic() - began
    outcome.end = _end(row)
    await_back(outcome.victim, arena.records, pid)
    outcome.wrong += settled(arena.records, arena.project_id)
    outcome.settled_seconds = time.monotonic() - began
    _count(outcome, load.stop())
    if row["status"] != "completed":
        outcome.wrong.append(f"ended as {outcome.end}: {row['error']}")
    elif (seen := service.version()) != begun.version:
        outcome.wrong.append(f"{seen} serves, not {begun.version}")


def _end(row: Row) -> str:
    return row["status"] if row["error"] is None else f"{row['status']} {row['error']['code']}"


def _count(outcome: Outcome, summary: dict[str, Any]) -> None:
    outcome.requests, outcome.failed = summary["requests"], summary["failures"]
    outcome.examples = summary["examples"]
    allowed = MAY_FAIL.get(outcome.victim, 0)
    if outcome.failed > allowed:
        outcome.wrong.append(f"{outcome.failed} requests failed, at most {allowed} may: {outcome.examples[:3]}")
