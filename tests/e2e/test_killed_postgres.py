"""PostgreSQL dies around a decision or a start: 503 only if nothing was applied, and the same key asks again."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import LiteralString
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.chaos.asking import Asked
from tests.chaos.commits import held_commits
from tests.chaos.frozen import frozen
from tests.chaos.histories import accepted_updates
from tests.chaos.moments import moments
from tests.chaos.records import Records
from tests.chaos.victims import Victim, await_back, kill
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(400)]

NOW = moments(1)[0]
TEN = {"required": True, "min_approvals": 10, "four_eyes": True}
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'delivery-api'"
COMMITTING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'delivery-api'"
DECISIONS = "SELECT id FROM outbox WHERE kind = 'decision' AND topic = %s AND resource_id = %s"
DEPLOYMENTS = "SELECT id, status FROM deployments WHERE project_id = %s ORDER BY id"
SAID = "SELECT id FROM audit_log WHERE resource_id = %s AND action = %s"


@dataclass(frozen=True)
class Case:
    """A request; how often it was applied; what it is answered in the end."""

    asked: Asked
    applied: Callable[[], int]
    status: int


class Project:
    """One whose deployments wait for ten people, and one with two versions."""

    def __init__(self, platform, records) -> None:
        self._platform, self._records = platform, records
        self.waiting = platform.app("killed-postgres")
        self.project_id = self.waiting.project["id"]
        self.waiting.api.call("PATCH", f"/projects/{self.project_id}/environments/dev", {"approval": TEN})
        self.begun = self.waiting.begin()
        self._people = iter(["ann", "ben", "cid", "dan", "eve", "fay"])

    def status(self, deployment_id: str) -> str:
        self._records.close()
        return str(self._records.one("SELECT status FROM deployments WHERE id = %s", deployment_id)["status"])

    def becomes(self, deployment_id: str, status: str) -> None:
        until(lambda: self.status(deployment_id) == status, f"{deployment_id} is {status}", 180)

    def approve(self) -> Case:
        accepted = self.begun.accepted
        self.becomes(accepted.deployment_id, "awaiting_approval")
        path = f"/deployments/{accepted.deployment_id}/approve"
        asked = Asked(self._platform, path, {"reason": "fine"}, self._platform.stack.token(sub=next(self._people)))
        return Case(asked, self._said(accepted.deployment_id, "deployment.approve"), 200)

    def start(self) -> Case:
        path = f"/features/{self.waiting.feature['id']}/build-and-deploy"
        body = {"version_tag": f"9.0.{uuid4().int % 100_000}", "git_branch": "main", "environment": "dev"}
        asked = Asked(self._platform, path, {**body, "deployment_strategy": "blue_green"})
        return Case(asked, self._made, 202)

    def abort(self) -> Case:
        """Of a new one."""
        deployment_id = self.waiting.begin().accepted.deployment_id
        self.becomes(deployment_id, "awaiting_approval")
        asked = Asked(self._platform, f"/deployments/{deployment_id}/abort", {"reason": "no"})
        return Case(asked, self._said(deployment_id, "deployment.abort"), 200)

    def retry(self) -> Case:
        """Of one that was cancelled."""
        deployment_id = self.waiting.begin().accepted.deployment_id
        self.becomes(deployment_id, "awaiting_approval")
        Asked(self._platform, f"/deployments/{deployment_id}/abort", {"reason": "no"}).answered()
        self.becomes(deployment_id, "cancelled")
        asked = Asked(self._platform, f"/deployments/{deployment_id}/retry", {"reason": "again"})
        return Case(asked, self._made, 201)

    def rollback(self) -> Case:
        """Of what is live."""
        app = self._platform.app(f"killed-{uuid4().hex[:8]}")
        app.ship_good()
        deployment_id = app.ship_good(spec={"rollout": {"scale_down_delay": 600}}).deployment["id"]
        asked = Asked(self._platform, f"/deployments/{deployment_id}/rollback", {"reason": "complaints"})
        return Case(asked, self._said(deployment_id, "deployment.rollback"), 200)

    def _said(self, deployment_id: str, action: str) -> Callable[[], int]:
        return lambda: self._count(SAID, deployment_id, action)

    def _made(self) -> int:
        return self._count(DEPLOYMENTS, self.project_id)

    def _count(self, query: LiteralString, *values: str) -> int:
        """By a connection of its own: the last one's server is dead."""
        self._records.close()
        return len(self._records.all(query, *values))


@pytest.fixture(scope="module")
def project(platform):
    found = Records(platform.stack.data_dir)
    yield Project(platform, found)
    found.close()


class Killing:
    """What dies, and its coming back."""

    def __init__(self, records) -> None:
        self._records = records

    def server(self) -> None:
        """The server itself; its children go with it."""
        killed = kill(Victim.POSTGRES, self._records, operation_id="", moment=NOW, serving="")
        await_back(Victim.POSTGRES, self._records, killed, 120)
        self._answers()

    def child(self) -> None:
        """The process that serves the API's connection: the server ends all others, and recovers."""
        os.kill(self._records.all(COMMITTING)[0]["pid"], signal.SIGKILL)
        self._answers()

    def _answers(self) -> None:
        def answers() -> bool:
            with suppress(psycopg.Error):
                return self._records.all("SELECT 1 AS one") != []
            return False

        until(answers, "PostgreSQL answers", 120)


@pytest.fixture
def killing(records):
    return Killing(records)


@contextmanager
def outbox_locked(records) -> Iterator[None]:
    """Nothing is kept meanwhile; with the server the lock goes, too."""
    with ExitStack() as held:
        held.enter_context(records.locked("LOCK TABLE outbox IN SHARE MODE"))
        yield
        with suppress(psycopg.OperationalError):
            held.close()


def outcome(first) -> int | None:
    """The status that was answered; None: the connection broke, or nothing came in time."""
    try:
        return int(first.result(60).status_code)
    except httpx2.TransportError:
        return None


def asked_again(case: Case, known: int) -> httpx2.Response:
    """Under its key, until there is an answer; applied once."""
    answer = case.asked.answered(told=case.status != 202)
    assert answer.status_code == case.status, answer.text
    assert case.applied() == known + 1
    return answer


@pytest.mark.parametrize("action", ["approve", "abort", "rollback", "retry", "start"])
def test_killed_before_it_was_written_nothing_is_applied(records, project, killing, action):
    case = getattr(project, action)()
    known = case.applied()
    with outbox_locked(records), case.asked.meanwhile() as first:
        until(lambda: records.all(WAITING) != [], "it is about to be written", 60)
        killing.server()
        assert outcome(first) in (503, None)
    assert case.applied() == known
    asked_again(case, known)


@pytest.mark.parametrize("action", ["approve", "abort", "rollback", "retry", "start"])
def test_killed_during_the_commit_it_is_not_called_undone(records, project, killing, action):
    """It said 503, and the retry, the approval, the rollback was there."""
    case = getattr(project, action)()
    known = case.applied()
    with held_commits(records), case.asked.meanwhile() as first:
        until(lambda: records.all(COMMITTING) != [], "it is being committed", 60)
        killing.server()
        assert outcome(first) in (504, None)
    assert case.applied() == known + 1
    asked_again(case, known)


@pytest.mark.parametrize("action", ["approve", "start"])
def test_the_same_with_one_process_of_the_server_killed(records, project, killing, action):
    case = getattr(project, action)()
    known = case.applied()
    with held_commits(records), case.asked.meanwhile() as first:
        until(lambda: records.all(COMMITTING) != [], "it is being committed", 60)
        killing.child()
        assert outcome(first) in (504, None)
    assert case.applied() == known + 1
    asked_again(case, known)


def test_killed_after_a_decision_was_kept_it_is_promised(platform, records, project, killing):
    """It said 503, and the approval counted."""
    case = project.approve()
    known, operation_id = case.applied(), project.begun.accepted.operation_id
    kept, workflow_id = records.all(DECISIONS, "approve", operation_id), records.workflow_of(operation_id)
    counted = accepted_updates(platform, workflow_id, "approve")
    with ExitStack() as held, case.asked.meanwhile() as first:
        held.enter_context(frozen(records, "worker"))
        until(lambda: len(records.all(DECISIONS, "approve", operation_id)) > len(kept), "it is kept", 60)
        killing.server()
        assert outcome(first) == 202
    asked_again(case, known)
    assert accepted_updates(platform, workflow_id, "approve") == counted + 1
