"""`delivery secrets`: names come as arguments, values never."""

from pathlib import Path
from typing import Annotated, Any

import typer

from delivery_cli.command import Group
from delivery_cli.commands.login import read_secret
from delivery_cli.faults import Fault, UsageFault
from delivery_cli.output.times import ago
from delivery_cli.run import Run, plain

Json = dict[str, Any]
secrets = Group("secrets", "Secrets of a project; values come from standard input or a file")
Name = Annotated[str, typer.Argument(help="Its name, such as DATABASE_URL.")]
Env = Annotated[str | None, typer.Option("--env", "-e", help="Of this environment only; else for all.")]
COLUMNS = {
    "name": "NAME",
    "kind": "KIND",
    "environment": "ENV",
    "version": "VERSION",
    "changed": "CHANGED",
    "created_by": "BY",
}


@secrets.command("list", "delivery secrets list", "delivery secrets list --json name,environment,version", project=True)
def list_(run: Run) -> None:
    """What there is; values are never shown"""
    rows = [plain(one) for one in run.client.secrets.list(project_id=run.project["id"], page_size=100)]
    run.out.table([{**one, "changed": ago(one["updated_at"])} for one in rows], COLUMNS, none="no secrets yet")


@secrets.command(
    "set",
    "delivery secrets set DATABASE_URL --env production < url.txt",
    "pass show git-token | delivery secrets set GIT_TOKEN --kind git_https_token",
    "delivery secrets set TLS_KEY --from-file key.pem --whole",
    project=True,
)
def set_(
    run: Run,
    name: Name,
    env: Env = None,
    kind: Annotated[
        str, typer.Option("--kind", help="service_env, git_https_token, git_ssh_key, ssh_known_hosts or registry.")
    ] = "service_env",
    from_file: Annotated[Path | None, typer.Option("--from-file", help="Read the value from this file.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Keep the line end at the value's end.")] = False,
) -> None:
    """Store a value, from standard input or a file

    One line end at its end is left out, since editors and `echo` add it. What runs gets it at its next start.
    """
    value = read_secret(from_file, f"the value of {name}")
    value = value if whole or kind == "git_ssh_key" else value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise UsageFault("the value is empty", f"delivery secrets set {name} < file")
    known = _found(run, name, env)
    if known:
        answer = plain(run.client.secrets.update(project_id=run.project["id"], secret_id=known["id"], value=value))
    else:
        fields: Json = {"name": name, "kind": kind, "value": value, **({"environment": env} if env else {})}
        answer = plain(run.client.secrets.create(project_id=run.project["id"], **fields))
    run.out.answer(answer, f"{name} has version {answer['version']}; services get it when they start next")


@secrets.command("delete", "delivery secrets delete DATABASE_URL --env production --yes", project=True)
def delete(
    run: Run, name: Name, env: Env = None, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Remove a secret for good"""
    known = _found(run, name, env)
    if known is None:
        raise Fault(
            f"{run.project['slug']} has no secret {name}{f' for {env}' if env else ''}", "`delivery secrets list`"
        )
    run.confirm(f"Delete {name}{f' of {env}' if env else ''}? Services that need it cannot start any more.", yes=yes)
    run.client.secrets.delete(project_id=run.project["id"], secret_id=known["id"])
    run.out.answer({"id": known["id"], "deleted": True}, f"{name} is deleted")


def _found(run: Run, name: str, env: str | None) -> Json | None:
    for one in run.client.secrets.list(project_id=run.project["id"], page_size=100):
        found: Json = plain(one)
        if found["name"] == name and found["environment"] == env:
            return found
    return None
