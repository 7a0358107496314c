"""Following a delivery to its end: a live view on a terminal, a line for each change elsewhere."""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from delivery_cli.exits import Exit
from delivery_cli.faults import Ended, Fault
from delivery_cli.live.snapshot import Snapshot, Watcher, moment, rest
from delivery_cli.live.view import view, words
from delivery_cli.output.times import span

if TYPE_CHECKING:
    from delivery_cli.run import Run

Json = dict[str, Any]
PAUSE: Final = 1.0
PATIENCE: Final = 120.0
"""Seconds for which a server that is away is waited for: it may be restarting."""


def follow(run: "Run", deployment: Json, *, timeout: float | None = None, people: bool = False) -> int:
    """Show a delivery until its end; returns the exit code.

    Args:
        run: of the command.
        deployment: the one to follow.
        timeout: seconds after which it is left alone.
        people: without a terminal, wait for people too: else that ends it, with the exit code for it.

    Raises:
        Ended: time is over, or it waits for a person where nobody looks.
    """
    watcher = Watcher(run.client, deployment)
    deadline = time.monotonic() + timeout if timeout is not None else None
    try:
        on_screen = run.out.is_terminal
        last = _live(run, watcher, deadline) if on_screen else _lines(run, watcher, deadline, people=people)
    except KeyboardInterrupt:
        _detached(run, deployment)
        return Exit.INTERRUPTED
    return _told(run, last, timeout)


def _live(run: "Run", watcher: Watcher, deadline: float | None) -> Snapshot:
    from rich.live import Live

    snapshot = _look(run, watcher, deadline)
    console = run.out.console
    with Live(console=console, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
        while True:
            live.update(view(snapshot, server_now(snapshot), console.width, console.height - 1), refresh=True)
            if snapshot.done or _is_over(deadline):
                return snapshot
            rest(PAUSE)
            snapshot = _look(run, watcher, deadline)


def _lines(run: "Run", watcher: Watcher, deadline: float | None, *, people: bool) -> Snapshot:
    before = ""
    while True:
        snapshot = _look(run, watcher, deadline)
        now = words(snapshot)
        if now != before and not run.out.as_json:
            run.out.line(now)
            sys.stdout.flush()
        before = now
        if snapshot.done or _is_over(deadline) or (snapshot.waits_for_people and not people):
            return snapshot
        rest(PAUSE)


def _look(run: "Run", watcher: Watcher, deadline: float | None) -> Snapshot:
    """Take a snapshot, patient with a server that is away for a moment."""
    from delivery_cli.explained import explain

    until = time.monotonic() + PATIENCE
    while True:
        try:
            return watcher.look()
        except Fault:
            raise
        except Exception as error:
            fault = explain(error)
            ends = not fault.retryable or fault.facts.get("retry_after")
            if ends or time.monotonic() > until or _is_over(deadline):
                raise
            run.out.note(f"{fault.message}; trying again")
            rest(PAUSE * 3)


def _told(run: "Run", last: Snapshot, timeout: float | None) -> int:
    run.out.answer_json(summary(last))
    deployment = last.deployment["id"]
    again = f"delivery status {deployment} --watch"
    if last.done:
        if not run.out.is_terminal and not run.out.as_json:
            _say_end(run, last)
        return last.exit_code
    if last.waits_for_people:
        verb = "approve" if last.status == "awaiting_approval" else "resume"
        raise Ended(
            f"it waits for a person: {last.status.replace('_', ' ')}",
            f"delivery {verb} {deployment}\n{again}",
            exit_code=Exit.WAITING,
            retryable=True,
            facts={"code": "WAITING", "deployment_id": deployment},
        )
    raise Ended(
        f"it is still going on after {span(timeout)}: {words(last)}",
        f"it goes on without you; follow it again: {again}",
        retryable=True,
        facts={"code": "STILL_RUNNING", "deployment_id": deployment},
    )


def _say_end(run: "Run", last: Snapshot) -> None:
    error = last.operation.get("error")
    if last.status == "success":
        run.out.line(f"live at {last.environment.get('url') or last.deployment['environment']}")
    elif error:
        run.out.note(f"{error['code']}: {error['message']}")


def summary(snapshot: Snapshot) -> Json:
    """What a program gets: the deployment, and what its operation adds."""
    operation = snapshot.operation
    return {
        **snapshot.deployment,
        "operation_status": operation.get("status"),
        "progress_percent": operation.get("progress_percent"),
        "current_step": operation.get("current_step"),
        "eta_seconds": operation.get("eta_seconds"),
        "steps": operation.get("steps"),
        "weight": snapshot.weight,
        "wanted_weight": snapshot.wanted,
        "sample": snapshot.sample,
        "operation_error": operation.get("error"),
        "url": snapshot.environment.get("url"),
        "done": snapshot.done,
        "exit_code": int(snapshot.exit_code),
    }


def server_now(snapshot: Snapshot) -> datetime:
    """Now, by the server's clock as far as its newest time tells: a clock that is off would make spans absurd."""
    here = datetime.now(UTC)
    times = [snapshot.operation.get("created_at"), snapshot.deployment.get("updated_at")]
    if snapshot.sample:
        times.append(snapshot.sample["at"])
    newest = max(moment(one) for one in times if one)
    return newest if newest > here or here - newest > timedelta(days=2) else here


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and not time.monotonic() <= deadline  # not a number: over, too


def _detached(run: "Run", deployment: Json) -> None:
    run.out.note("\nDetached: the delivery goes on without you.")
    run.out.note(f"  follow it again   delivery status {deployment['id']} --watch")
    run.out.note(f"  stop it           delivery abort {deployment['id']}")
