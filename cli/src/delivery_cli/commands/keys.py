"""`delivery keys`: API keys of the organization."""

from typing import Annotated, Any

import typer

from delivery_cli.command import Group
from delivery_cli.output.times import ago, local
from delivery_cli.run import Run, plain

Json = dict[str, Any]
keys = Group("keys", "API keys of the organization")
Id = Annotated[str, typer.Argument(help="The key's id; `delivery keys list` shows it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
COLUMNS = {"name": "NAME", "prefix": "BEGINS", "status": "STATUS", "ends": "ENDS", "used": "LAST USED", "id": "ID"}


@keys.command("list", "delivery keys list", "delivery keys list --status active --json name,expires_at")
def list_(
    run: Run,
    status: Annotated[str | None, typer.Option("--status", help="active, expired, replaced or revoked.")] = None,
) -> None:
    """What there is; the keys themselves are never shown again"""
    asked: Json = {"status": status} if status else {}
    rows = [plain(one) for one in run.client.api_keys.list(org_id=run.organization["id"], page_size=100, **asked)]
    shown = [{**one, "ends": local(one["expires_at"]), "used": ago(one["last_used_at"])} for one in rows]
    run.out.table(shown, COLUMNS, none="no keys yet")


@keys.command(
    "create",
    "delivery keys create ci --scope projects:read --scope deployments:write > key.txt",
    "delivery keys create ci --scope deployments:read --expires 2027-01-01T00:00:00Z --json",
)
def create(
    run: Run,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[str], typer.Option("--scope", "-s", help="What it may do; again for each.")],
    expires: Annotated[
        str | None, typer.Option("--expires", help="When it ends (RFC 3339); at most a year ahead.")
    ] = None,
) -> None:
    """Make a key and print it, this once"""
    asked: Json = {"expires_at": expires} if expires else {}
    answer = plain(run.client.api_keys.create(org_id=run.organization["id"], name=name, scopes=scope, **asked))
    run.out.note(f"{name} ({answer['id']}) ends {local(answer['expires_at'])}. This is the only time it is shown:")
    run.out.answer(answer, answer["key"])


@keys.command("rotate", "delivery keys rotate 01a231d4-219b-7251-be1a-529a0b4e5097 --overlap 3600 > key.txt")
def rotate(
    run: Run,
    key: Id,
    overlap: Annotated[
        int | None, typer.Option("--overlap", min=0, help="Seconds for which the old one works on.")
    ] = None,
) -> None:
    """Replace a key by a new one, and print that, this once"""
    asked: Json = {} if overlap is None else {"overlap_seconds": overlap}
    answer = plain(run.client.api_keys.rotate(org_id=run.organization["id"], key_id=key, **asked))
    run.out.note(f"{answer['name']} is {answer['id']} now. This is the only time it is shown:")
    run.out.answer(answer, answer["key"])


@keys.command("revoke", "delivery keys revoke 01a231d4-219b-7251-be1a-529a0b4e5097 --yes")
def revoke(run: Run, key: Id, yes: Yes = False) -> None:
    """End a key at once"""
    found = plain(run.client.api_keys.get(org_id=run.organization["id"], key_id=key))
    run.confirm(f"Revoke {found['name']} ({found['prefix']}...)? Whatever uses it stops working.", yes=yes)
    run.client.api_keys.delete(org_id=run.organization["id"], key_id=key)
    run.out.answer({"id": key, "revoked": True}, f"{found['name']} is revoked")
