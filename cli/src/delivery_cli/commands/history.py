"""`delivery history`: what was deployed."""

from itertools import islice
from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.output.times import ago, span
from delivery_cli.run import Run, plain

Json = dict[str, Any]
COLUMNS = {
    "version_tag": "VERSION",
    "environment": "ENV",
    "status": "STATUS",
    "strategy": "STRATEGY",
    "when": "WHEN",
    "took": "TOOK",
    "commit": "COMMIT",
    "id": "ID",
}


@command(
    "history",
    "delivery history",
    "delivery history --env production --status rolled_back",
    "delivery history --limit 5 --json version_tag,status,git_commit_hash",
    project=True,
)
def history(
    run: Run,
    env: Annotated[str | None, typer.Option("--env", "-e", help="Of this environment only.")] = None,
    status: Annotated[str | None, typer.Option("--status", "-s", help="In this state only, such as failed.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")] = 20,
) -> None:
    """The deployments of a project, newest first"""
    asked: Json = {key: value for key, value in {"environment": env, "status": status}.items() if value}
    listed = run.client.deployments.list(project_id=run.project["id"], page_size=min(limit, 100), **asked)
    run.out.table([row(plain(one)) for one in islice(listed, limit)], COLUMNS, none="nothing was deployed yet")


def row(deployment: Json) -> Json:
    """A deployment, and what is shown of it."""
    return {
        **deployment,
        "when": ago(deployment["created_at"]),
        "took": span(deployment["duration_seconds"]),
        "strategy": deployment["deployment_strategy"],
        "commit": (deployment["git_commit_hash"] or "-")[:10],
    }
