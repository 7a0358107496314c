"""`delivery webhooks`: who is told of events, and what they are told, live."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from delivery_cli.command import Group
from delivery_cli.faults import UsageFault
from delivery_cli.output.times import local
from delivery_cli.run import Run, plain

Json = dict[str, Any]
webhooks = Group("webhooks", "Webhooks; `listen` verifies and shows them live")
Id = Annotated[str, typer.Argument(help="The webhook's id; `delivery webhooks list` shows it.")]
Events = Annotated[list[str] | None, typer.Option("--event", help="Only these events; again for each. Else all.")]
COLUMNS = {"url": "URL", "events": "EVENTS", "status": "STATUS", "disabled_reason": "WHY", "id": "ID"}
DELIVERIES = {
    "when": "WHEN",
    "event": "EVENT",
    "status": "STATUS",
    "attempts": "ATTEMPTS",
    "last_response_status": "ANSWER",
    "id": "ID",
}


@webhooks.command("list", "delivery webhooks list", "delivery webhooks list --json url,status")
def list_(run: Run) -> None:
    """What there is"""
    rows = [plain(one) for one in run.client.webhooks.list(org_id=run.organization["id"], page_size=100)]
    run.out.table(rows, COLUMNS, none="no webhooks yet")


@webhooks.command(
    "create", "delivery webhooks create https://example.com/hook --event deployment.completed > secret.txt"
)
def create(run: Run, url: Annotated[str, typer.Argument(help="Where events are sent.")], event: Events = None) -> None:
    """Register an address, and print the secret of its signatures, this once"""
    asked: Json = {"events": event} if event else {}
    answer = plain(run.client.webhooks.create(org_id=run.organization["id"], url=url, **asked))
    run.out.note(f"{url} is {answer['id']}. The secret is shown this once:")
    run.out.answer(answer, answer["secret"])


@webhooks.command("delete", "delivery webhooks delete 01a231d4-219b-7251-be1a-529a0b4e5097 --yes")
def delete(
    run: Run, webhook: Id, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Remove one with all of its deliveries"""
    found = plain(run.client.webhooks.get(org_id=run.organization["id"], webhook_id=webhook))
    run.confirm(f"Delete the webhook of {found['url']}?", yes=yes)
    run.client.webhooks.delete(org_id=run.organization["id"], webhook_id=webhook)
    run.out.answer({"id": webhook, "deleted": True}, f"{found['url']} is told nothing any more")


@webhooks.command(
    "deliveries", "delivery webhooks deliveries 01a231d4-219b-7251-be1a-529a0b4e5097 --json event,status,last_error"
)
def deliveries(
    run: Run,
    webhook: Id,
    status: Annotated[str | None, typer.Option("--status", help="pending, succeeded, failed or exhausted.")] = None,
) -> None:
    """What was sent, and what was answered; the newest hundred"""
    asked: Json = {"status": status} if status else {}
    page = run.client.webhooks.list_deliveries(
        org_id=run.organization["id"], webhook_id=webhook, page_size=100, **asked
    )
    run.out.table(
        [{**one, "when": local(one["created_at"])} for one in map(plain, page.data)],
        DELIVERIES,
        none="nothing was sent yet",
    )


@webhooks.command("ping", "delivery webhooks ping 01a231d4-219b-7251-be1a-529a0b4e5097")
def ping(run: Run, webhook: Id) -> None:
    """Send the event `ping` now"""
    answer = plain(run.client.webhooks.ping(org_id=run.organization["id"], webhook_id=webhook))
    run.out.answer(answer, f"sent; `delivery webhooks deliveries {webhook}` shows the answer")


@webhooks.command(
    "listen",
    "delivery webhooks listen",
    "delivery webhooks listen --event deployment.completed --json event,data",
    "delivery webhooks listen --port 9000 --public-url https://my-tunnel.example.com/",
    "delivery webhooks listen --port 9000 --secret-file secret.txt    # of a webhook that is there already",
)
def listen(
    run: Run,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of this machine; 0: any free one.")] = 0,
    public_url: Annotated[
        str, typer.Option("--public-url", help="Where the server reaches that port, if it is on another machine.")
    ] = "",
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="The secret of a webhook that is there: none is made.")
    ] = None,
    event: Events = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many.")] = None,
) -> None:
    """Receive webhooks here, verify them, and show them live; Ctrl-C ends it

    Makes a webhook for as long as it listens, and removes it at the end. With --json a line is one event.
    """
    from delivery_cli.commands.login import read_secret
    from delivery_cli.live.receiver import Receiver

    with Receiver(port) as receiver:
        if secret_file:
            receiver.secret = read_secret(secret_file, "the webhook's secret").strip()
            _show(run, receiver, limit)
            return
        url = public_url or _reachable(run, receiver.url)
        asked: Json = {"events": event} if event else {}
        what = "delivery webhooks listen"
        with _ended_in_order():
            made = _made(run, url, {"description": what, **asked}, is_own=not public_url)
            receiver.secret = made["secret"]
            try:
                run.out.note(f"listening at {url}; Ctrl-C ends it and removes the webhook")
                _show(run, receiver, limit)
            finally:
                run.client.webhooks.delete(org_id=run.organization["id"], webhook_id=made["id"])


def _made(run: Run, url: str, fields: Json, *, is_own: bool) -> Json:
    from ai_agents import APIError

    try:
        return dict(plain(run.client.webhooks.create(org_id=run.organization["id"], url=url, **fields)))
    except APIError as error:
        if not is_own or not any(one.get("field") == "url" for one in error.details or () if isinstance(one, dict)):
            raise
        raise UsageFault(
            f"the engine may not send to this machine: {error.message}",
            "its operator allows it: DELIVERY_EGRESS_NETWORKS=127.0.0.0/8 DELIVERY_WEBHOOK_PORTS=any make up\n"
            "or name an address of a tunnel that leads here: --public-url https://...",
        ) from error


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """`timeout 60 delivery webhooks listen`, or a closed terminal, is as good an end as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, _interrupted) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _reachable(run: Run, url: str) -> str:
    if urlsplit(run.profile.url).hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise UsageFault(
            f"{run.profile.url} cannot reach a port of this machine",
            "name an address that leads here: --public-url (a tunnel, say)",
        )
    return url


def _show(run: Run, receiver: Any, limit: int | None) -> None:
    for seen, (fault, event) in enumerate(receiver.events(run.client), start=1):
        if fault:
            run.out.note(f"refused: {fault}")
        else:
            run.out.stream(event, f"{local(event.get('timestamp'))}  {event.get('event')}  {_about(event)}  verified")
        sys.stdout.flush()
        if limit is not None and seen >= limit:
            return


def _about(event: Json) -> str:
    """The state and id of the thing that it tells of."""
    for kind, thing in (event.get("data") or {}).items():
        if isinstance(thing, dict):
            facts = [thing.get(key) for key in ("version_tag", "environment", "status", "name", "id")]
            return " ".join([kind, *(str(one) for one in facts if one)])
    return ""
