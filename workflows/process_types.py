"""What runs beside a release's service, such as its workers (`processes` of the delivery spec)."""

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError

from contracts.rollouts import START_PROCESSES, ReleaseRef, StartProcesses
from workflows.activity_calls import call

PROCESSES_PATCH = "process-types"


def has_processes(release: ReleaseRef) -> bool:
    """Whether something runs beside its service that is ours to start and to stop."""
    return bool(release.processes) and workflow.patched(PROCESSES_PATCH)


async def start_again(release: ReleaseRef) -> None:
    """Where the service has the traffic already. What cannot start now, the reconciler of instances tries again."""
    request = StartProcesses(release_id=release.release_id, judged=False)
    with suppress(ActivityError):
        await call(START_PROCESSES, request, summary=f"start {process_names(release)}")


def process_names(release: ReleaseRef) -> str:
    """For people."""
    return ", ".join(f"{name} ({each.count})" for name, each in release.processes.items())
