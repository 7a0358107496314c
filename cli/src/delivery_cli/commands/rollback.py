"""`delivery rollback`: back to the version before, or to a given one."""

from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.exits import Exit
from delivery_cli.faults import Fault, UsageFault
from delivery_cli.run import Run, plain

Json = dict[str, Any]


@command(
    "rollback",
    "delivery rollback --env production -m 'too many errors' --yes",
    "delivery rollback 1.3.2 --env production --watch",
    project=True,
)
def rollback(
    run: Run,
    version: Annotated[
        str | None, typer.Argument(help="The version to return to. Else the one before the live one.")
    ] = None,
    env: Annotated[str, typer.Option("--env", "-e", help="The environment.")] = "dev",
    reason: Annotated[
        str, typer.Option("--reason", "-m", help="Why; it is kept in the audit log.")
    ] = "rolled back from the command line",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end; Ctrl-C detaches.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="With --watch: stop watching after so many seconds.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Return to the version before, or to a given one

    The version before is back with one write while it is still kept. A given version is deployed again from its build.
    """
    environment = plain(run.client.environments.get(project_id=run.project["id"], name=env))
    live = environment["current_release"]
    if live is None:
        raise Fault(f"nothing is live in {env}", "`delivery deploy` makes that different")
    if version is None or version == (environment["previous_release"] or {}).get("version_tag"):
        return _back(run, environment, reason, yes=yes)
    if version == live["version_tag"]:
        raise UsageFault(f"{version} is what is live in {env}", "`delivery env show` has the versions before it")
    return _again(run, environment, version, reason, watch=watch, timeout=timeout, yes=yes)


def _back(run: Run, environment: Json, reason: str, *, yes: bool) -> int:
    live, before = environment["current_release"], environment["previous_release"]
    if before is None:
        raise Fault(f"{live['version_tag']} is the first version in {environment['name']}: there is none before it")
    run.confirm(f"Return {environment['name']} from {live['version_tag']} to {before['version_tag']}?", yes=yes)
    answer = plain(run.client.deployments.rollback(deployment_id=live["deployment_id"], reason=reason))
    done = "" if answer["status"] == "rolled_back" else f" on its way: {answer['status']}"
    run.out.answer(answer, f"{environment['name']}: {before['version_tag']} instead of {live['version_tag']}{done}")
    return Exit.DONE


def _again(
    run: Run, environment: Json, version: str, reason: str, *, watch: bool, timeout: float | None, yes: bool
) -> int:
    fitting = [one for one in environment["history"] if one["version_tag"] == version]
    if not fitting:
        known = ", ".join(dict.fromkeys(one["version_tag"] for one in environment["history"][1:])) or "none"
        raise UsageFault(f"{version} was not live in {environment['name']} lately", f"there were: {known}")
    live = environment["current_release"]["version_tag"]
    run.confirm(f"Deploy {version} to {environment['name']} again, in place of {live}?", yes=yes)
    made = run.client.deployments.create(
        build_id=fitting[0]["build_id"], environment=environment["name"], approval_notes=reason
    )
    new = plain(made)
    run.out.note(f"{version} to {environment['name']} again: deployment {new['id']}")
    if not watch:
        run.out.answer(new, f"delivery status {new['id']} --watch")
        return Exit.DONE
    from delivery_cli.live.follow import follow

    return follow(run, new, timeout=timeout)
