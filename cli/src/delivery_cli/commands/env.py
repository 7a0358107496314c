"""`delivery env`: environments: what is live, who holds the lock, and what guards them."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from delivery_cli.command import Group
from delivery_cli.exits import Exit
from delivery_cli.faults import UsageFault
from delivery_cli.output.times import ago, local
from delivery_cli.run import Run, plain

Json = dict[str, Any]
env = Group("env", "Environments: release, lock, queue, windows, approval")
Name = Annotated[str, typer.Argument(help="dev, staging or production.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
COLUMNS = {
    "name": "ENV",
    "version": "LIVE",
    "since": "SINCE",
    "holder": "ROLLING OUT",
    "waiting": "QUEUE",
    "window": "WINDOW",
    "url": "URL",
}
CHANGES = {
    "id": "ID",
    "status": "STATUS",
    "weakens": "WEAKENS",
    "approvals": "APPROVED BY",
    "requested_by": "ASKED BY",
    "expires": "EXPIRES",
}


@env.command(
    "list",
    "delivery env list",
    "delivery env list --jq '.[] | {name, version: .current_release.version_tag}'",
    project=True,
)
def list_(run: Run) -> None:
    """What is live, who rolls out, who waits"""
    found = [plain(one) for one in run.client.environments.list(project_id=run.project["id"])]
    run.out.table([row(one) for one in found], COLUMNS)


@env.command("show", "delivery env show production", "delivery env show dev --json lock,queue,window", project=True)
def show(run: Run, name: Name = "dev") -> None:
    """One environment: release, history, lock, queue, windows, approval"""
    found = plain(run.client.environments.get(project_id=run.project["id"], name=name))
    run.out.answer(found, shown(found))


@env.command("policy", "delivery env policy production supersede --yes", project=True)
def policy(
    run: Run,
    name: Name,
    value: Annotated[str, typer.Argument(help="queue, supersede or reject.")],
    yes: Yes = False,
) -> int:
    """What happens to a second deployment while one is under way"""
    run.confirm(f"Set the policy of {name} to {value}?", yes=yes)
    return _changed(run, name, policy=value)


@env.command(
    "approval",
    "delivery env approval production --by 2 --yes",
    "delivery env approval production --off --yes",
    project=True,
)
def approval(
    run: Run,
    name: Name,
    by: Annotated[int, typer.Option("--by", min=1, max=10, help="So many people must approve.")] = 1,
    self_approval: Annotated[bool, typer.Option("--self", help="Whoever asked may approve, too.")] = False,
    off: Annotated[bool, typer.Option("--off", help="No approval is needed any more.")] = False,
    yes: Yes = False,
) -> int:
    """Who must approve a deployment before it starts

    Weakening a guard of a protected environment waits until as many others have approved as the guard demands.
    """
    rule = None if off else {"required": True, "min_approvals": by, "four_eyes": not self_approval}
    run.confirm(f"{'Drop the approval rule' if off else f'Demand {by} approval(s)'} for {name}?", yes=yes)
    return _changed(run, name, approval=rule)


@env.command(
    "windows",
    "delivery env windows production",
    "delivery env windows production --from-file windows.json --yes",
    "delivery env windows production --clear --yes",
    project=True,
)
def windows(
    run: Run,
    name: Name,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="A JSON or YAML list of windows; `-`: standard input.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of them: always open.")] = False,
    yes: Yes = False,
) -> int:
    """When deployments may start; without options, what is set

    A window has name, kind (allow or deny), time_zone, start, duration (such as PT8H) and perhaps rrule.
    """
    if from_file is None and not clear:
        found = plain(run.client.environments.get(project_id=run.project["id"], name=name))
        columns = {key: key.upper() for key in ("name", "kind", "time_zone", "start", "duration", "rrule")}
        run.out.table(found["settings"]["windows"], columns, none=f"{name} has no windows: always open")
        return Exit.DONE
    new = [] if clear or from_file is None else _windows(from_file)
    run.confirm(f"Replace the windows of {name} by {len(new)}?", yes=yes)
    return _changed(run, name, windows=new)


@env.command("changes", "delivery env changes production", project=True)
def changes(run: Run, name: Name) -> None:
    """Changes that weaken a guard, and wait for approval"""
    rows = [plain(one) for one in run.client.environments.list_changes(project_id=run.project["id"], name=name)]
    run.out.table([{**one, "expires": local(one["expires_at"])} for one in rows], CHANGES, none="no changes wait")


@env.command("approve", "delivery env approve production 01a231d4-219b-7251-be1a-529a0b4e5097", project=True)
def approve(
    run: Run,
    name: Name,
    change: Annotated[str, typer.Argument(help="The change's id.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
) -> None:
    """Approve such a change"""
    asked: Json = {"reason": reason} if reason else {}
    answer = plain(
        run.client.environments.approve_change(project_id=run.project["id"], name=name, change_id=change, **asked)
    )
    run.out.answer(answer, f"the change of {name} is {answer['status']}")


@env.command("reject", "delivery env reject production 01a231d4-219b-7251-be1a-529a0b4e5097 -m 'not now'", project=True)
def reject(
    run: Run,
    name: Name,
    change: Annotated[str, typer.Argument(help="The change's id.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
) -> None:
    """Refuse such a change"""
    asked: Json = {"reason": reason} if reason else {}
    answer = plain(
        run.client.environments.reject_change(project_id=run.project["id"], name=name, change_id=change, **asked)
    )
    run.out.answer(answer, f"the change of {name} is {answer['status']}")


def row(environment: Json) -> Json:
    """An environment, and what the table shows of it."""
    live, lock, window = environment["current_release"] or {}, environment["lock"] or {}, environment["window"]
    return {
        **environment,
        "version": live.get("version_tag"),
        "since": ago(live.get("deployed_at")),
        "holder": lock.get("version_tag") or (lock.get("deployment_id") if lock else None),
        "waiting": len(environment["queue"]) or None,
        "window": "open" if window["open"] else f"closed until {local(window['next_open'])}",
    }


def shown(environment: Json) -> str:
    """All of it in lines."""
    own, settings = row(environment), environment["settings"]
    rule = settings["approval"]
    needed = f"by {rule['min_approvals']}{' others' if rule['four_eyes'] else ''}" if _needed(rule) else "not needed"
    lines = [
        f"{environment['name']}  {environment['url']}",
        f"  live       {own['version'] or 'nothing yet'}  {own['since'] if own['version'] else ''}".rstrip(),
        f"  lock       {own['holder'] or 'free'}",
        f"  policy     {settings['policy']}",
        f"  approval   {needed}",
        f"  window     {own['window']}"
        + (f" ({environment['window']['reason']})" if environment["window"]["reason"] else ""),
    ]
    lines += [
        f"  queue {one['position']:>4}  {one['version_tag'] or '-'}  {one['deployment_id']}"
        for one in environment["queue"]
    ]
    lines += ["  history"] if environment["history"] else []
    lines += [
        f"    {one['version_tag']:<16} {one['git_commit_hash'][:10]}  {local(one['deployed_at'])}  {one['state']}"
        for one in environment["history"]
    ]
    return "\n".join(lines)


def _needed(rule: Json | None) -> bool:
    return bool(rule and rule["required"])


def _changed(run: Run, name: str, **fields: Any) -> int:
    answer = plain(run.client.environments.update(project_id=run.project["id"], name=name, **fields))
    if "weakens" in answer:  # a change of a guard, which others must approve
        run.out.answer(
            answer, f"waits for {answer['min_approvals']} approval(s): delivery env approve {name} {answer['id']}"
        )
        return Exit.WAITING
    run.out.answer(answer, shown(answer))
    return Exit.DONE


def _windows(path: Path) -> list[Json]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"cannot read {path}: {error}") from error
    try:
        found = json.loads(text)
    except ValueError:
        from delivery_cli.repository.places import read

        document = read(text)
        if document.faults:
            one = document.faults[0]
            raise UsageFault(f"{path}:{one.line}:{one.column}: {one.message}") from None
        found = document.value
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageFault(f"{path} holds no list of windows", "see docs/windows.md")
    return found
