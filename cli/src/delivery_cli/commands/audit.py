"""`delivery audit`: who did what."""

from itertools import islice
from typing import Annotated, Any

import typer

from delivery_cli.command import command
from delivery_cli.output.times import local
from delivery_cli.run import Run, plain

Json = dict[str, Any]
COLUMNS = {"when": "WHEN", "actor": "WHO", "action": "ACTION", "resource_type": "OF", "resource_id": "ID"}


@command(
    "audit",
    "delivery audit --limit 50",
    "delivery audit --action approved --since 2026-11-01T00:00:00Z",
    "delivery audit --resource 01a231d5-0014-7436-af63-282b4f7d1980 --json",
)
def audit(
    run: Run,
    actor: Annotated[str | None, typer.Option("--actor", help="Of this user or service account.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Such as approved, created, updated.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Of this kind of thing, such as deployment.")] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="Of the thing with this id.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this time on (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this time.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many.")] = 30,
) -> None:
    """Who did what"""
    given = {
        "actor": actor,
        "action": action,
        "resource_type": kind,
        "resource_id": resource,
        "since": since,
        "until": until,
    }
    asked: Json = {key: value for key, value in given.items() if value}
    listed = run.client.audit_log.list(org_id=run.organization["id"], page_size=min(limit, 100), **asked)
    rows = [plain(one) for one in islice(listed, limit)]
    run.out.table([{**one, "when": local(_time(one))} for one in rows], COLUMNS, none="no such entry")


def _time(entry: Json) -> str | None:
    found = entry.get("occurred_at") or entry.get("created_at") or entry.get("timestamp") or entry.get("at")
    return str(found) if found else None
