"""What people read about a running workflow in the Temporal UI: markdown, bounded."""

from types import MappingProxyType

from contracts.operations import DeploymentProgress, OperationError, Progress
from contracts.payload import bounded
from contracts.rollouts import EnvironmentState, LockQueued, LockRequest, LockSuperseded, ReleaseName, WindowAnswer
from domain.lifecycle import StepStatus

MAX_CODE_CHARS = 1500
MAX_SHOWN = 20

# Plain characters: a browser on a server has no font for emoji.
_MARKS = MappingProxyType(
    {
        StepStatus.PENDING: "·",
        StepStatus.IN_PROGRESS: "▶",
        StepStatus.COMPLETED: "✓",
        StepStatus.SKIPPED: "-",
        StepStatus.FAILED: "✗",
        StepStatus.CANCELLED: "○",
    }
)


def operation_details(progress: Progress, deployment: DeploymentProgress) -> str:
    """How far an operation is, step by step; at a bad end why."""
    parts = [f"### {progress.progress_percent} % · {progress.current_step or progress.status}"]
    if deployment.status:
        parts.append(f"Deployment `{deployment.deployment_id}` is **{deployment.status}**")
    if progress.error:
        parts.append(_error(progress.error))
    lines = []
    for step in progress.steps:
        # The error says it already, and in full.
        detail = f": {bounded(step.detail, 200)}" if step.detail and not progress.error else ""
        lines.append(f"- {_MARKS[step.status]} {step.name}{detail}")
    return "\n\n".join([*parts, "\n".join(lines)])


def _error(error: OperationError) -> str:
    # Line by line as code: markdown in the message stays what it is, and long lines wrap (in a block they do not).
    tail = str(error.details.get("log_tail") or "").splitlines()[-MAX_SHOWN:]
    said = f"**Its last output:**\n\n{_code(tail)}" if any(tail) else ""
    return "\n\n".join(filter(None, [f"**{error.code}**", _code(error.message.splitlines()), said]))


def _code(lines: list[str]) -> str:
    text = bounded("\n".join(lines), MAX_CODE_CHARS).replace("`", "'").splitlines()
    return "  \n".join(f"`{line.strip()}`" for line in text if line.strip())


def environment_details(state: EnvironmentState) -> str:
    """Who has the environment's lock, who waits for it, what will be stopped."""
    holder = f"▶ {_who(state.holder)}" if state.holder else "nobody"
    waiting = [f"{position}. {_who(one)}" for position, one in enumerate(state.waiting[:MAX_SHOWN], 1)] or ["nobody"]
    retired = [f"- `{r.release_id}` at {r.stop_after:%H:%M:%S} UTC" for r in state.retired[:MAX_SHOWN]] or ["none"]
    return "\n\n".join(
        [
            f"### {state.label or state.environment_id}",
            f"**Serving:** {_release(state.current)}; before it {_release(state.previous)}",
            f"**Policy:** {state.policy}",
            f"**Window:** {_window(state.window)}",
            f"**Rolling out now:** {holder}",
            f"**Waiting ({len(state.waiting)}):**\n\n" + "\n".join(waiting),
            f"**Retired releases to stop ({len(state.retired)}):**\n\n" + "\n".join(retired),
        ]
    )


def _who(request: LockRequest) -> str:
    return f"{bounded(request.purpose, 255)} `{bounded(request.workflow_id, 255)}`".strip()


def _release(release: ReleaseName | None) -> str:
    return f"{release.version} `{release.release_id}`".strip() if release else "not known yet"


def _window(window: WindowAnswer | None) -> str:
    return f"held by {window.reason}{_opens(window)}" if window else "nobody is held"


def _opens(held: WindowAnswer | LockQueued) -> str:
    return f"; opens {held.next_open:%Y-%m-%d %H:%M} UTC" if held.next_open else "; no end is in sight"


def queue_message(environment: str, queued: LockQueued) -> str:
    """What a deployment that waits for its lock shows."""
    if queued.reason:
        position = f"; position {queued.position} in the queue" if queued.position > 1 else ""
        return f"Held by {bounded(queued.reason, 500)}{_opens(queued)}{position}"
    holder = f"; deployment {queued.holder_deployment_id} is under way" if queued.holder_deployment_id else ""
    return f"Queued for {environment} at position {queued.position}{holder}"


def superseded_message(by: LockSuperseded) -> str:
    """What a deployment shows whose place a newer one takes."""
    version = f" (version {bounded(by.version, 255)})" if by.version else ""
    return f"superseded by deployment {by.deployment_id}{version}"
