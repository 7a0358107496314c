"""The live view: a pure function from a snapshot to a picture. What it says is the same without colours.

Colours are of the terminal's own sixteen, so that they suit its theme, light or dark; nothing is told by colour alone.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from delivery_cli.live.snapshot import Snapshot, seconds_between
from delivery_cli.output.clean import one_line
from delivery_cli.output.times import local, span

Json = dict[str, Any]

MARKS: Final = {
    "completed": ("✓", "green"),
    "in_progress": ("▶", "cyan"),
    "failed": ("✗", "red"),
    "cancelled": ("✗", "red"),
    "skipped": ("-", "bright_black"),
    "pending": ("·", "bright_black"),
}
STATES: Final = {
    "success": ("live", "green"),
    "failed": ("failed", "red"),
    "cancelled": ("cancelled", "red"),
    "superseded": ("superseded by a newer one", "red"),
    "rolled_back": ("rolled back", "yellow"),
    "rolling_back": ("rolling back", "yellow"),
    "awaiting_approval": ("waits for approval", "yellow"),
    "paused": ("held, waits for a person", "yellow"),
    "queued": ("queued", "yellow"),
    "in_progress": ("rolling out", "cyan"),
    "pending": ("building", "cyan"),
}
METRICS: Final = {
    "error_rate": "errors",
    "error_rate_limit": "err max",
    "client_errors": "4xx",
    "latency": "latency",
    "latency_shape": "shape",
    "p95_limit": "p95 max",
}
FINDINGS: Final = {
    "good": ("well", "green"),
    "harm": ("harm", "red"),
    "doubt": ("in doubt", "yellow"),
    "open": ("not decided", "cyan"),
    "no_data": ("no data", "yellow"),
}
BAR: Final = 24
NARROW: Final = 40
Line = Text


def view(snapshot: Snapshot, now: datetime, width: int = 80, height: int | None = None) -> Group:
    """What a terminal of that size shows; where there is little room, steps that are done share a line."""
    width = max(NARROW, width)
    head, below = [*_head(snapshot, now), Text()], [*_waiting(snapshot, width), *_traffic(snapshot, width)]
    below += [*_analysis(snapshot, width), *_end(snapshot, width)]
    steps = list(_steps(snapshot, now, width))
    if height is not None and len(head) + len(steps) + len(below) > height:
        steps = list(_steps(snapshot, now, width, short=True))
    lines = [*head, *steps, *below]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def words(snapshot: Snapshot) -> str:
    """The state in a line, for pipes: a new line is worth printing when this changed."""
    operation, sample = snapshot.operation, snapshot.sample
    name, _ = STATES.get(snapshot.status, (snapshot.status, ""))
    step = one_line(operation.get("current_step") or "")
    parts = [f"{operation.get('progress_percent') or 0:>3} %", name, step if step and not snapshot.done else ""]
    if snapshot.weight is not None and not snapshot.done:
        parts.append(f"traffic {snapshot.weight} %")
    if sample and not snapshot.done and sample.get("canary"):
        parts.append(
            f"errors {_percent(sample['canary'])} (stable {_percent(sample.get('stable'))}){_evidence_words(sample)}"
        )
    return "  ".join(part for part in parts if part)


def _evidence_words(sample: Json) -> str:
    found = [one for one in sample["evidence"] if one["evidence"] is not None and one["limit"]]
    return "".join(f", evidence {one['evidence']:.1f} of {one['limit']:g}" for one in found[:1])


def _head(snapshot: Snapshot, now: datetime) -> Iterator[Line]:
    deployment = snapshot.deployment
    name, style = STATES.get(snapshot.status, (snapshot.status, ""))
    version = one_line(deployment.get("version_tag") or "a version", 40)
    yield Text.assemble((version, "bold"), " to ", (deployment["environment"], "bold"), "  ", (name, f"bold {style}"))
    commit = (deployment.get("git_commit_hash") or "")[:10]
    branch = one_line(deployment.get("git_branch") or "", 30)
    facts = [deployment["deployment_strategy"].replace("_", "-"), f"{branch} {commit}".strip()]
    facts.append(
        f"{span(_elapsed(snapshot, now))} so far" if not snapshot.done else f"took {span(_elapsed(snapshot, now))}"
    )
    if not snapshot.done and (eta := snapshot.operation.get("eta_seconds")) is not None:
        facts.append(f"about {span(eta)} left")
    yield Text("  ".join(fact for fact in facts if fact), "bright_black")


def _elapsed(snapshot: Snapshot, now: datetime) -> float | None:
    operation = snapshot.operation
    return seconds_between(operation.get("created_at"), operation.get("completed_at") or now.isoformat())


def _steps(snapshot: Snapshot, now: datetime, width: int, *, short: bool = False) -> Iterator[Line]:
    current = one_line(snapshot.operation.get("current_step") or "")
    steps = snapshot.operation.get("steps", ())
    over = [step for step in steps if step["status"] in {"completed", "skipped"}]
    if short and over:
        took = sum(seconds_between(step["started_at"], step["completed_at"]) or 0 for step in over)
        names = ", ".join(step["name"] for step in over)
        yield Text.assemble("  ", ("✓", "green"), f" {names}  ", (span(took), "bright_black"))
        steps = [step for step in steps if step not in over]
    for step in steps:
        yield _step(step, current, now, width)
    if current and not any(step["status"] == "in_progress" for step in steps):
        yield Text.assemble("  ", ("▶", "cyan"), " ", one_line(current, width - 4))


def _step(step: Json, current: str, now: datetime, width: int) -> Line:
    mark, style = MARKS.get(step["status"], ("?", ""))
    is_current = step["status"] == "in_progress"
    took = seconds_between(step["started_at"], step["completed_at"] or (now.isoformat() if is_current else None))
    time = span(took) if took is not None else ""
    line = Text.assemble("  ", (mark, style), f" {step['name']:<8}", (f"{time:>11}", "bright_black"))
    told = current if is_current else one_line(step.get("detail") or "")
    if told and step["status"] in {"in_progress", "failed", "skipped"}:
        room = max(8, width - cell_len(line.plain) - 2)
        line.append(f"  {one_line(told, room)}", "" if is_current else "bright_black")
    return line


def _waiting(snapshot: Snapshot, width: int) -> Iterator[Line]:
    deployment, environment = snapshot.deployment, snapshot.environment
    if snapshot.status == "awaiting_approval":
        yield Text()
        yield Text.assemble(
            ("Waits for approval. ", "yellow"),
            "Somebody else than who asked for it says:" if _four_eyes(environment) else "Who may, says:",
        )
        yield Text(f"  delivery approve {deployment['id']}")
    elif snapshot.status == "paused":
        yield Text()
        yield Text.assemble(("Held. ", "yellow"), one_line(_held_because(snapshot), width - 8))
        yield Text(f"  delivery resume {deployment['id']}")
        yield Text(f"  delivery abort {deployment['id']}")
    elif snapshot.status == "queued":
        yield Text()
        yield from _queue(snapshot, width)


def _queue(snapshot: Snapshot, width: int) -> Iterator[Line]:
    environment, mine = snapshot.environment, snapshot.deployment["id"]
    window = environment.get("window") or {}
    if window.get("open") is False:
        opens = f"; opens {local(window['next_open'])}" if window.get("next_open") else ""
        yield Text.assemble(
            ("Not now: ", "yellow"), one_line(f"{window.get('reason') or 'outside of its windows'}{opens}", width - 10)
        )
    lock = environment.get("lock")
    if lock and lock["deployment_id"] != mine:
        yield Text.assemble(
            ("Queued. ", "yellow"),
            f"{environment['name']} is rolling out {one_line(lock['version_tag'] or 'another version', 30)}",
        )
    for one in environment.get("queue", ()):
        own = one["deployment_id"] == mine
        yield Text(
            f"  {one['position']:>2}  {one_line(one['version_tag'] or '-', 30)}{'  <- this one' if own else ''}",
            "bold" if own else "",
        )


def _traffic(snapshot: Snapshot, width: int) -> Iterator[Line]:
    weight, wanted = snapshot.weight, snapshot.wanted
    if weight is None:
        return
    bar = min(BAR, width - 46)
    filled = round(bar * weight / 100) if bar > 0 else 0
    drawn = "█" * filled + "░" * max(0, bar - filled)
    line = Text.assemble("Traffic   ", (drawn, "cyan"), f"  {weight} % now")
    if wanted is not None and wanted != weight:
        line.append(f", {wanted} % wanted", "yellow")
    yield Text()
    yield line


def _analysis(snapshot: Snapshot, width: int) -> Iterator[Line]:
    sample = snapshot.sample
    if sample is None:
        return
    header = f"{'':<10}{'requests':>10}{'errors':>10}{'p95':>10}"
    yield Text(header, "bright_black")
    for name, side in (("new", sample.get("canary")), ("stable", sample.get("stable"))):
        if side:
            style = "red" if name == "new" and _worse(sample) else ""
            yield Text.assemble(
                f"{name:<10}{side['requests']:>10}", (f"{_percent(side):>10}", style), f"{_ms(side):>10}"
            )
    for one in sample["evidence"]:
        yield _evidence(one, width)


def _evidence(one: Json, width: int) -> Line:
    name = METRICS.get(one["metric"], one["metric"].replace("_", " "))
    finding, style = FINDINGS.get(one["finding"], (one["finding"], ""))
    limit, found = one["limit"], one["evidence"]
    if found is None or not limit:
        return Text.assemble(f"  {name:<8}", (finding, style))
    share = min(1.0, max(0.0, found / limit))
    bar = max(8, min(BAR, width - 46))
    filled = round(bar * share)
    colour = "red" if share >= 1 else "yellow" if share >= 0.5 else "green"
    drawn = "█" * filled + "░" * (bar - filled)
    return Text.assemble(f"  {name:<8}", (drawn, colour), f"  evidence {found:.1f} of {limit:g}  ", (finding, style))


def _end(snapshot: Snapshot, width: int) -> Iterator[Line]:
    if not snapshot.done:
        return
    yield Text()
    error = snapshot.operation.get("error") or snapshot.deployment.get("error")
    if snapshot.status == "success":
        yield Text.assemble(
            ("✓ ", "green"), "live at ", snapshot.environment.get("url") or snapshot.deployment["environment"]
        )
        return
    name, style = STATES.get(snapshot.status, (snapshot.status, "red"))
    yield Text.assemble(("✗ ", style), (name, style), f"  {error['code']}" if error else "")
    for line in _wrapped(error["message"] if error else "", width - 2):
        yield Text(f"  {line}")


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(one_line(text), max(20, width))[:6]


def _percent(side: Json | None) -> str:
    rate = side.get("error_rate_percent") if side else None
    return "-" if rate is None else f"{rate:.2f} %"


def _ms(side: Json) -> str:
    return "-" if side.get("p95_ms") is None else f"{side['p95_ms']:g} ms"


def _worse(sample: Json) -> bool:
    return any(one["finding"] == "harm" for one in sample["evidence"])


def _four_eyes(environment: Json) -> bool:
    rule = (environment.get("settings") or {}).get("approval")
    return rule is None or bool(rule.get("four_eyes"))


def _held_because(snapshot: Snapshot) -> str:
    reasons = (snapshot.deployment.get("analysis") or {}).get("reasons") or []
    return (
        str(reasons[0]) if reasons else (snapshot.operation.get("current_step") or "Somebody decides how it goes on.")
    )
