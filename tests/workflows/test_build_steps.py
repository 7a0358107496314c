"""What a lost worker costs: a new start elsewhere, of the same commit."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import RetryState
from temporalio.exceptions import ActivityError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from contracts.builds import (
    ATTEST_BUILD,
    FETCH_SOURCE,
    OPEN_WORKSPACE,
    PACKAGE_ARTIFACT,
    RUN_BUILD,
    RUN_SCAN,
    Attested,
    FetchedSource,
    PackagedArtifact,
    ScanOutcome,
    Workspace,
)
from contracts.operations import OperationContext
from domain.lifecycle import OperationKind, StepName
from tests.workflows.world import order
from workflows.build_steps import BuildSteps
from workflows.cancellation import Cancellation
from workflows.progress_tracker import ProgressTracker

COMMIT = "a" * 40


def gone() -> ActivityError:
    """What Temporal says of an activity that no worker took up."""
    error = ActivityError(
        "activity",
        scheduled_event_id=1,
        started_event_id=0,
        identity="",
        activity_type="build.run",
        activity_id="1",
        retry_state=RetryState.RETRY_STATE_TIMEOUT,
    )
    error.__cause__ = TemporalTimeoutError("gone", type=TimeoutType.SCHEDULE_TO_START, last_heartbeat_details=[])
    return error


class Progress(ProgressTracker):
    """Without rows: what is recorded is another test's."""

    async def record(self, *, final: bool = False) -> None: ...


class Worker(Cancellation):
    """Answers in place of workers: the first workspace's is gone when it is to build."""

    def __init__(self, progress: ProgressTracker, context: OperationContext) -> None:
        super().__init__(progress)
        self.context = context
        self.fetched: list[tuple[str | None, str | None]] = []
        self.built = 0

    async def call(self, stub: Any, request: Any, **_options: Any) -> Any:
        if stub is OPEN_WORKSPACE:
            return Workspace(operation_id=self.context.operation_id, queue="q")
        if stub is FETCH_SOURCE:
            self.fetched.append((request.git_branch, request.git_commit_hash))
            return FetchedSource(commit=request.git_commit_hash or COMMIT, branch="main", size_bytes=1, spec={})
        if stub is RUN_BUILD:
            self.built += 1
            if self.built == 1:
                raise gone()
            return None
        if stub is RUN_SCAN:
            return ScanOutcome(skipped="no scanners")
        if stub is ATTEST_BUILD:
            return Attested(digest="sha256:99")
        assert stub is PACKAGE_ARTIFACT
        return PackagedArtifact(digest="sha256:00", size_bytes=1, file_count=1)


async def test_a_branch_is_resolved_once_though_the_worker_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tip may have moved meanwhile: what was found first is fetched again."""
    monkeypatch.setattr(workflow, "logger", logging.getLogger(__name__))  # its own needs a workflow's event loop
    monkeypatch.setattr(workflow, "patched", lambda _change: True)
    monkeypatch.setattr(workflow, "now", lambda: datetime.now(UTC))
    wanted = order().model_copy(update={"git_branch": None})
    progress = Progress(wanted.place, OperationKind.BUILD_AND_DEPLOY, StepName)
    worker = Worker(progress, wanted.place)
    source, _ = await BuildSteps(wanted.place, progress, worker).make_artifact(wanted)
    assert worker.fetched == [(None, None), ("main", COMMIT)]
    assert (source.commit, progress.deployment.git_commit_hash) == (COMMIT, COMMIT)
