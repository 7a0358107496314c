"""`delivery diff`: what a deployment would bring, or brought."""

from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.faults import Fault
from delivery_cli.output.clean import one_line
from delivery_cli.run import Run, plain

Json = dict[str, Any]


@command("diff", "delivery diff", "delivery diff 1.4.0 --env production", project=True)
def diff(
    run: Run,
    version: Annotated[
        str | None, typer.Argument(help="Id or version of a deployment. Else HEAD of the checkout.")
    ] = None,
    env: Annotated[str, typer.Option("--env", "-e", help="Compared with what is live here.")] = "dev",
) -> None:
    """What a deployment would bring, or brought, commit by commit

    Compares with the live release of the environment, or, if that is the one you name, with the one before it.
    """
    environment = plain(run.client.environments.get(project_id=run.project["id"], name=env))
    base, new, label = _ends(run, environment, version)
    if base is None:
        raise Fault(f"nothing is live in {env} to compare with")
    answer: Json = {
        "environment": env,
        "from_version": base["version_tag"],
        "from_commit": base["git_commit_hash"],
        "to_version": label,
        "to_commit": new,
        "commits": None,
        "removed": None,
    }
    added, removed = run.checkout.log(base["git_commit_hash"], new), run.checkout.log(new, base["git_commit_hash"])
    if added is not None and removed is not None:
        answer["commits"] = [dict(zip(("commit", "author", "subject"), one, strict=True)) for one in added]
        answer["removed"] = [dict(zip(("commit", "author", "subject"), one, strict=True)) for one in removed]
    run.out.answer(answer, _text(answer))


def _ends(run: Run, environment: Json, version: str | None) -> tuple[Json | None, str, str]:
    live, before = environment["current_release"], environment["previous_release"]
    if version is None:
        return live, run.checkout.commit, "HEAD"
    found = run.deployment(version)
    if not found["git_commit_hash"]:
        raise Fault("its commit is not known yet", "wait until its source is fetched", retryable=True)
    own = live is not None and live["deployment_id"] == found["id"]
    return (before if own else live), found["git_commit_hash"], found["version_tag"] or version


def _text(answer: Json) -> str:
    before = f"{answer['from_version']} ({answer['from_commit'][:10]})"
    after = f"{answer['to_version']} ({answer['to_commit'][:10]})"
    head = f"{before} -> {after}, {answer['environment']}"
    if answer["commits"] is None:
        return f"{head}\n  these commits are not in this checkout: git fetch"
    lines = [
        f"  + {one['commit']}  {one_line(one['subject'], 60)}  ({one_line(one['author'], 30)})"
        for one in answer["commits"]
    ]
    lines += [
        f"  - {one['commit']}  {one_line(one['subject'], 60)}  ({one_line(one['author'], 30)})"
        for one in answer["removed"]
    ]
    return "\n".join([head, *(lines or ["  the same commit"])])
