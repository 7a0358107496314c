"""What people decide about a deployment: approve, reject, pause, resume, promote, abort."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.run import Run, plain

Json = dict[str, Any]
Which = Annotated[str | None, typer.Argument(help="Id or version. Else the newest that this fits.")]
Env = Annotated[str | None, typer.Option("--env", "-e", help="Look in this environment only.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept in the audit log.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

UNDER_WAY = ("in_progress", "paused")
WAITING = ("awaiting_approval",)
UNFINISHED = ("pending", "queued", "awaiting_approval", "in_progress", "paused")


@command(
    "approve", "delivery approve", "delivery approve 1.4.0 --env production -m 'looked at the canary'", project=True
)
def approve(run: Run, deployment: Which = None, env: Env = None, reason: Reason = "") -> None:
    """Let a deployment that waits for approval go on

    Where four eyes are asked for, whoever requested it cannot approve it.
    """
    _decide(run, run.deployment(deployment, env, WAITING), run.client.deployments.approve, "approved", reason)


@command("reject", "delivery reject 1.4.0 -m 'not before Monday' --yes", project=True)
def reject(run: Run, deployment: Which = None, env: Env = None, reason: Reason = "", yes: Yes = False) -> None:
    """Refuse a deployment that waits for approval"""
    found = run.deployment(deployment, env, WAITING)
    run.confirm(f"Reject {named(found)}?", yes=yes)
    _decide(run, found, run.client.deployments.reject, "rejected", reason)


@command("pause", "delivery pause --env production -m 'looking at the errors'", project=True)
def pause(run: Run, deployment: Which = None, env: Env = None, reason: Reason = "") -> None:
    """Hold a rollout where it is

    Its traffic stays as it is until somebody resumes, promotes or aborts it.
    """
    _decide(run, run.deployment(deployment, env, UNDER_WAY), run.client.deployments.pause, "paused", reason)


@command("resume", "delivery resume", "delivery resume 1.4.0 --env production", project=True)
def resume(run: Run, deployment: Which = None, env: Env = None, reason: Reason = "") -> None:
    """Let a held rollout go on"""
    _decide(
        run,
        run.deployment(deployment, env, ("paused", "in_progress")),
        run.client.deployments.resume,
        "resumed",
        reason,
    )


@command("promote", "delivery promote", "delivery promote --full --yes", project=True)
def promote(
    run: Run,
    deployment: Which = None,
    env: Env = None,
    full: Annotated[bool, typer.Option("--full", help="All of the traffic at once, without further analysis.")] = False,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Go to the next step, or with --full to all of the traffic

    Without --full a held rollout takes its next step, judged as its plan says. With it, no further step is judged.
    """
    found = run.deployment(deployment, env, UNDER_WAY)
    if not full:
        _decide(run, found, run.client.deployments.resume, "sent to its next step", reason)
        return
    run.confirm(f"Give {named(found)} all of the traffic, without further analysis?", yes=yes)
    _decide(run, found, run.client.deployments.promote, "promoted", reason)


@command("abort", "delivery abort -m 'wrong commit' --yes", project=True)
def abort(run: Run, deployment: Which = None, env: Env = None, reason: Reason = "", yes: Yes = False) -> None:
    """Stop a rollout and send its traffic back"""
    found = run.deployment(deployment, env, UNFINISHED)
    run.confirm(f"Stop {named(found)} and send its traffic back?", yes=yes)
    _decide(run, found, run.client.deployments.abort, "aborted", reason or "aborted from the command line")


def named(deployment: Json) -> str:
    """How a deployment is called in a question."""
    return f"{deployment.get('version_tag') or deployment['id']} in {deployment['environment']}"


def _decide(run: Run, found: Json, decide: Callable[..., Any], done: str, reason: str) -> None:
    asked: Json = {"reason": reason} if reason else {}
    answer = plain(decide(deployment_id=found["id"], **asked))
    run.out.answer(answer, f"{named(found)} {done}: {answer.get('status', 'accepted')}")
