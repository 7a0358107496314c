"""`delivery status`: how far a deployment is."""

from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.run import Run

Json = dict[str, Any]


@command(
    "status",
    "delivery status",
    "delivery status --env production --watch --timeout 600",
    "delivery status 01a231d5-0014-7436-af63-282b4f7d1980 --json status,weight,sample",
    "delivery status --jq '.steps[] | select(.status == \"failed\") | .detail'",
    project=True,
)
def status(
    run: Run,
    deployment: Annotated[str | None, typer.Argument(help="Id or version. Else the newest of the project.")] = None,
    env: Annotated[str | None, typer.Option("--env", "-e", help="The newest of this environment.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end; Ctrl-C detaches.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="With --watch: stop watching after so many seconds.")
    ] = None,
    wait_for_people: Annotated[
        bool, typer.Option("--wait-for-people", help="With --watch, without a terminal: wait for approvals, too.")
    ] = False,
) -> int:
    """How far a deployment is; --watch follows it

    The exit code tells its state: 0 live or still going, 1 failed, 3 rolled back, 4 waiting for a person.
    """
    from delivery_cli.live.follow import follow, server_now, summary
    from delivery_cli.live.snapshot import Watcher

    found = run.deployment(deployment, env)
    if watch:
        return follow(run, found, timeout=timeout, people=wait_for_people)
    snapshot = Watcher(run.client, found).look()
    if run.out.as_json:
        run.out.answer(summary(snapshot))
    else:
        from delivery_cli.live.view import view

        run.out.console.print(view(snapshot, server_now(snapshot), run.out.console.width))
    return snapshot.exit_code
