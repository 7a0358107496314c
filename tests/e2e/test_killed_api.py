"""Retry and approve while the API is killed with SIGKILL: the client asks again under its key, and it is done once."""

from contextlib import ExitStack

import httpx2
import pytest

from tests.chaos.asking import Asked
from tests.chaos.frozen import frozen
from tests.chaos.histories import accepted_updates
from tests.chaos.moments import moments
from tests.chaos.victims import Victim, await_back, kill
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(400)]

NOW = moments(1)[0]
FOUR = {"required": True, "min_approvals": 4, "four_eyes": True}
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'delivery-api'"
RETRIES = "SELECT id, operation_id FROM deployments WHERE retry_of = %s"
DECISIONS = "SELECT id FROM outbox WHERE kind = 'decision' AND topic = %s AND resource_id = %s"


@pytest.fixture(scope="module")
def waits(platform):
    """A deployment that waits for four people; at the end of the tests nothing waits any more."""
    app = platform.app("killed-api")
    app.api.call("PATCH", f"/projects/{app.project['id']}/environments/dev", {"approval": FOUR})
    return app.begin()


@pytest.fixture
def killing(platform, records):
    """Kill the API in the middle of a request that is being answered: nobody hears an answer."""

    def end(first) -> None:
        killed = kill(Victim.API, records, operation_id="", moment=NOW, serving="")
        assert isinstance(first.exception(60), httpx2.TransportError)
        await_back(Victim.API, records, killed, 120)

    return end


def status(records, deployment_id: str) -> str:
    return records.one("SELECT status FROM deployments WHERE id = %s", deployment_id)["status"]


def awaits_approval(records, deployment_id: str) -> None:
    until(lambda: status(records, deployment_id) == "awaiting_approval", f"{deployment_id} waits", 180)


def said(records, deployment_id: str, action: str) -> list[tuple[str, str | None]]:
    """The audit entries of an action on a deployment, and of what came of it."""
    rows = records.all(
        "SELECT action, details->>'outcome' AS outcome FROM audit_log WHERE resource_id = %s "
        "AND (action = %s OR details->>'decision' = %s) ORDER BY id",
        deployment_id,
        f"deployment.{action}",
        f"deployment.{action}",
    )
    return [(row["action"], row["outcome"]) for row in rows]


def approval(platform, begun, person: str) -> Asked:
    path = f"/deployments/{begun.accepted.deployment_id}/approve"
    return Asked(platform, path, {"reason": "fine"}, platform.stack.token(sub=person))


@pytest.fixture
def approved_once_more(platform, records, waits):
    """Check that one more approval than before was asked for, accepted and counted."""
    deployment_id, operation_id = waits.accepted.deployment_id, waits.accepted.operation_id
    awaits_approval(records, deployment_id)
    before = accepted_updates(platform, records.workflow_of(operation_id), "approve")

    def check(answer) -> None:
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["status"] == "awaiting_approval"
        assert accepted_updates(platform, records.workflow_of(operation_id), "approve") == before + 1
        once = [("deployment.approve", None), ("deployment.decided", "accepted")]
        assert said(records, deployment_id, "approve") == once * (before + 1)
        assert f"{before + 1} of 4 so far" in records.operation(operation_id)["current_step"]

    return check


def test_an_approval_with_the_api_killed_before_it_was_kept(*, platform, records, waits, killing, approved_once_more):
    approve = approval(platform, waits, "ann")
    with ExitStack() as held:
        held.enter_context(records.locked("LOCK TABLE outbox IN SHARE MODE"))
        with approve.meanwhile() as first:
            until(lambda: records.all(WAITING) != [], "it is about to be kept", 60)
            killing(first)
        assert records.all(DECISIONS, "approve", waits.accepted.operation_id) == []
    answer = approve.answered(told=True)
    approved_once_more(answer)


def test_an_approval_with_the_api_killed_after_it_was_kept(*, platform, records, waits, killing, approved_once_more):
    approve = approval(platform, waits, "ben")
    known = len(records.all(DECISIONS, "approve", waits.accepted.operation_id))
    with frozen(records, "worker"), approve.meanwhile() as first:
        until(lambda: len(records.all(DECISIONS, "approve", waits.accepted.operation_id)) > known, "it is kept", 60)
        killing(first)
    answer = approve.answered(told=True)
    assert answer.headers["idempotent-replayed"] == "true"
    approved_once_more(answer)


def test_an_approval_with_the_api_killed_after_it_was_sent(*, platform, records, waits, killing, approved_once_more):
    """The workflow has accepted it, and nobody has noted that."""
    approve = approval(platform, waits, "cid")
    operation_id = waits.accepted.operation_id
    known = len(records.all(DECISIONS, "approve", operation_id))
    workflow_id = records.workflow_of(operation_id)
    told = accepted_updates(platform, workflow_id, "approve")
    with ExitStack() as held, approve.meanwhile() as first:
        with frozen(records, "worker"):
            until(lambda: len(records.all(DECISIONS, "approve", operation_id)) > known, "it is kept", 60)
            held.enter_context(records.locked(f"{DECISIONS} FOR UPDATE", "approve", operation_id))
        until(lambda: accepted_updates(platform, workflow_id, "approve") > told, "it is told", 180)
        killing(first)
    approved_once_more(approve.answered(told=True))


@pytest.fixture
def ended(platform, records, waits):
    """The deployment, cancelled, so that it can be tried again; what was made of it is ended too."""
    Asked(platform, f"/deployments/{waits.accepted.deployment_id}/abort", {"reason": "not today"}).answered()
    until(lambda: status(records, waits.accepted.deployment_id) == "cancelled", "its end", 180)
    yield waits.accepted.deployment_id
    for made in records.all(RETRIES, waits.accepted.deployment_id):
        Asked(platform, f"/deployments/{made['id']}/abort", {"reason": "not today"}).answered()
        until(lambda made=made: status(records, made["id"]) == "cancelled", "its end", 180)


def retried_once(platform, records, ended: str, retry: Asked, known: int) -> None:
    """The client's key leads to the one retry; its workflow was started, and the audit log has it once."""
    answer = retry.answered()
    assert answer.status_code == 201, answer.text
    made = records.all(f"{RETRIES} ORDER BY id", ended)
    assert len(made) == known + 1
    assert answer.json()["data"]["id"] == str(made[-1]["id"])
    assert len(said(records, ended, "retry")) == known + 1
    awaits_approval(records, str(made[-1]["id"]))
    again = retry.answered()
    assert (again.status_code, again.json()["data"]["id"]) == (201, str(made[-1]["id"]))


def test_a_retry_with_the_api_killed_before_it_was_kept(*, platform, records, ended, killing):
    retry = Asked(platform, f"/deployments/{ended}/retry", {"reason": "again"})
    known = len(records.all(RETRIES, ended))
    with records.locked("SELECT id FROM deployments WHERE id = %s FOR UPDATE", ended):
        with retry.meanwhile() as first:
            until(lambda: records.all(WAITING) != [], "it is about to be kept", 60)
            killing(first)
        assert len(records.all(RETRIES, ended)) == known
    retried_once(platform, records, ended, retry, known)


def test_a_retry_with_the_api_killed_after_it_was_kept(*, platform, records, ended, killing):
    """It is started, though whoever was to start it died."""
    retry = Asked(platform, f"/deployments/{ended}/retry", {"reason": "again"})
    known = len(records.all(RETRIES, ended))
    with frozen(records, "temporal"), retry.meanwhile() as first:
        until(lambda: len(records.all(RETRIES, ended)) > known, "it is kept", 60)
        killing(first)
    retried_once(platform, records, ended, retry, known)
