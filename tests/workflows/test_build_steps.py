"""What a lost worker costs: a new start elsewhere, of the same commit."""

import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import RetryState
from temporalio.exceptions import ActivityError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from contracts.builds import (
    FETCH_SOURCE,
    OPEN_WORKSPACE,
    PACKAGE_ARTIFACT,
    RUN_BUILD,
    FetchedSource,
    PackagedArtifact,
    Workspace,
)
from contracts.operations import DeploymentProgress
from tests.workflows.world import order
from workflows.build_steps import MakingWorkflow
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


class Making(MakingWorkflow):
    """The steps alone, with answers in place of workers: the first workspace's is gone when it is to build."""

    def __init__(self) -> None:
        self.order = order().model_copy(update={"git_branch": None})
        self.place = self.order.place
        self.deployment = DeploymentProgress(deployment_id=self.place.deployment_id)
        self.fetched: list[tuple[str | None, str | None]] = []
        self.built = 0
        self.ledger = Mock(ProgressTracker)  # what is told of it is another test's
        self._prepare_making()

    async def step(self, _name: Any, _words: str, work: Awaitable[Any], **_options: Any) -> Any:
        return await work

    async def record(self) -> None: ...

    def skip(self, *_what: Any) -> None: ...

    async def call(self, stub: Any, request: Any, **_options: Any) -> Any:
        if stub is OPEN_WORKSPACE:
            return Workspace(operation_id=self.place.operation_id, queue="q")
        if stub is FETCH_SOURCE:
            self.fetched.append((request.git_branch, request.git_commit_hash))
            return FetchedSource(commit=request.git_commit_hash or COMMIT, branch="main", size_bytes=1, spec={})
        if stub is RUN_BUILD:
            self.built += 1
            if self.built == 1:
                raise gone()
            return None
        assert stub is PACKAGE_ARTIFACT
        return PackagedArtifact(digest="sha256:00", size_bytes=1, file_count=1)


async def test_a_branch_is_resolved_once_though_the_worker_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tip may have moved meanwhile: what was found first is fetched again."""
    monkeypatch.setattr(workflow, "logger", logging.getLogger(__name__))  # its own needs a workflow's event loop
    monkeypatch.setattr(workflow, "patched", lambda _change: True)
    monkeypatch.setattr(workflow, "now", lambda: datetime.now(UTC))
    making = Making()
    source, _ = await making.make_artifact(making.order)
    assert making.fetched == [(None, None), ("main", COMMIT)]
    assert (source.commit, making.deployment.git_commit_hash) == (COMMIT, COMMIT)
