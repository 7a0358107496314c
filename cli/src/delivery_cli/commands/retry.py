"""`delivery retry`: once more."""

from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.commands.decide import Env, Which, named
from delivery_cli.exits import Exit
from delivery_cli.run import Run, plain

UNSUCCESSFUL = ("failed", "rolled_back", "cancelled", "superseded")


@command(
    "retry", "delivery retry --watch", "delivery retry 1.4.0 --env staging -m 'the database is back'", project=True
)
def retry(
    run: Run,
    deployment: Which = None,
    env: Env = None,
    reason: Annotated[
        str, typer.Option("--reason", "-m", help="Why; it is kept in the audit log.")
    ] = "retried from the command line",
    request_approval: Annotated[bool, typer.Option("--request-approval", help="Let others approve it first.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end; Ctrl-C detaches.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="With --watch: stop watching after so many seconds.")
    ] = None,
) -> int:
    """Deploy once more what did not succeed

    A new deployment of the same build; one whose build failed is built again from the same commit.
    """
    found = run.deployment(deployment, env, UNSUCCESSFUL)
    asked: dict[str, Any] = {"request_approval": True} if request_approval else {}
    new = plain(run.client.deployments.retry(deployment_id=found["id"], reason=reason, **asked))
    run.out.note(f"{named(found)} once more: deployment {new['id']}")
    if not watch:
        run.out.answer(new, f"delivery status {new['id']} --watch")
        return Exit.DONE
    from delivery_cli.live.follow import follow

    return follow(run, new, timeout=timeout)
