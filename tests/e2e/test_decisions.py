"""Decisions on the real stack: none is lost and none doubled, whoever hangs or is killed at the moment."""

from contextlib import ExitStack

import httpx2
import psutil
import pytest

from runtime.stack import orphans
from tests.chaos.asking import Asked
from tests.chaos.frozen import frozen
from tests.chaos.histories import accepted_updates
from tests.chaos.moments import moments
from tests.chaos.victims import Victim, await_back, kill
from tests.support.facts import facts
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

# A rollout that watches for as long as nobody decides otherwise.
WATCHED = {"rollout": {"scale_down_delay": 1, "verify_seconds": 200}}
# Nobody asks for anything, so that the analysis cannot decide and asks a person.
UNSURE = {
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.5},
    "analysis": {"duration": 2, "min_requests": 100_000, "compare": ["errors"]},
}
NOW = moments(1)[0]
DECISIONS = "SELECT id FROM outbox WHERE kind = 'decision' AND resource_id = %s"


@pytest.fixture(scope="module")
def decided(platform):
    app = platform.app("decided")
    app.ship_good()
    return app


@pytest.fixture
def watched(decided, platform, records):
    """A deployment that is being watched."""
    begun = decided.begin(spec=WATCHED)
    operation_id = begun.accepted.operation_id
    seen = "atch"  # "Watching", "watch"
    until(lambda: seen in (records.operation(operation_id)["current_step"] or ""), "it is watched", 180)
    yield begun
    asked(platform, begun, "abort", reason="the test is over").answered()
    until(lambda: records.operation(operation_id)["completed_at"] is not None, "its end", 180)


def asked(platform, begun, action: str, **body: str) -> Asked:
    return Asked(platform, f"/deployments/{begun.accepted.deployment_id}/{action}", body)


def status(records, begun) -> str:
    return records.one("SELECT status FROM deployments WHERE id = %s", begun.accepted.deployment_id)["status"]


def entries(records, begun) -> list[tuple[str, str | None]]:
    """What the audit log says of decisions about a deployment, in its order."""
    rows = records.all(
        "SELECT action, details->>'outcome' AS outcome FROM audit_log WHERE resource_id = %s AND (action IN "
        "('deployment.pause', 'deployment.resume', 'deployment.abort', 'deployment.rollback', 'deployment.decided')) "
        "ORDER BY id",
        str(begun.accepted.deployment_id),
    )
    return [(row["action"], row["outcome"]) for row in rows]


def accepted(action: str) -> list[tuple[str, str | None]]:
    return [(f"deployment.{action}", None), ("deployment.decided", "accepted")]


@pytest.mark.deep
def test_pause_and_resume_answer_the_state_after_them(platform, watched, records):
    """`pause` in the middle of a watch answered 200 `in_progress`."""
    paused = asked(platform, watched, "pause").once()
    assert (paused.status_code, paused.json()["data"]["status"]) == (200, "paused")
    resumed = asked(platform, watched, "resume").once()
    assert (resumed.status_code, resumed.json()["data"]["status"]) == (200, "in_progress")
    again = asked(platform, watched, "resume").once()
    assert (again.status_code, facts(again.json()["error"])["state"]) == (400, "in_progress")
    refused = [("deployment.resume", None), ("deployment.decided", "refused")]
    assert entries(records, watched) == [*accepted("pause"), *accepted("resume"), *refused]


def test_a_decision_while_the_worker_hangs_is_kept_and_sent_once(platform, watched, records):
    pause = asked(platform, watched, "pause", reason="look")
    with frozen(records, "worker"):
        assert [pause.once().status_code for _ in range(2)] == [202, 202]
    told = pause.answered(told=True)
    assert (told.status_code, told.json()["data"]["status"]) == (200, "paused")
    assert told.headers["idempotent-replayed"] == "true"
    assert status(records, watched) == "paused"
    assert entries(records, watched) == accepted("pause")


@pytest.mark.deep
def test_with_temporal_away_a_pause_is_refused_and_an_abort_is_kept(platform, watched, records):
    abort = asked(platform, watched, "abort", reason="no")
    with frozen(records, "temporal"):
        refused = asked(platform, watched, "pause").once()
        assert refused.status_code == 503
        assert entries(records, watched) == []
        assert abort.once().status_code == 202
    assert abort.answered(told=True).status_code == 200
    until(lambda: status(records, watched) in ("rolled_back", "cancelled"), "the abort", 180)
    assert entries(records, watched) == accepted("abort")


@pytest.mark.long
@pytest.mark.parametrize("victim", [Victim.API, Victim.TEMPORAL, Victim.WORKER])
def test_killed_right_after_a_decision_was_kept(platform, watched, records, victim):
    """Whoever dies between the promise and its carrying out: it is carried out, once."""
    pause = asked(platform, watched, "pause", reason="look")
    with frozen(records, "worker"):
        assert pause.once().status_code == 202
        killed = kill(victim, records, operation_id="", moment=NOW, serving="")
    await_back(victim, records, killed, 120)
    until(lambda: len(entries(records, watched)) == 2, "its outcome", 180)  # nobody asks again: the relay goes on
    until(lambda: status(records, watched) == "paused", "the pause", 180)
    told = pause.answered(told=True)
    assert (told.status_code, told.json()["data"]["status"]) == (200, "paused")
    assert entries(records, watched) == accepted("pause")


@pytest.mark.deep
def test_an_abort_whose_workflow_is_closed_before_its_answer_was_noted(platform, watched, records):
    """The relay tells it again to a workflow that ended with it: that is accepted, and not refused as not running."""
    abort, found = asked(platform, watched, "abort", reason="no"), (watched.accepted.operation_id,)
    workflow_id = records.workflow_of(*found)
    with frozen(records, "worker"), ExitStack() as held, abort.meanwhile() as first:
        until(lambda: records.all(DECISIONS, *found) != [], "what is kept", 60)
        held.enter_context(records.locked(f"{DECISIONS} FOR UPDATE", *found))
        awake = psutil.Process(orphans.running(records.layout)["worker"])
        awake.resume()
        until(lambda: records.operation(*found)["completed_at"] is not None, "the end", 180)
        until(lambda: accepted_updates(platform, workflow_id, "abort", closed=True) == 1, "the close", 180)
        assert entries(records, watched) == [("deployment.abort", None)]
        killed = kill(Victim.API, records, operation_id="", moment=NOW, serving="")
        assert isinstance(first.exception(60), httpx2.TransportError)
    await_back(Victim.API, records, killed, 120)
    until(lambda: len(entries(records, watched)) == 2, "its outcome", 180)
    assert entries(records, watched) == accepted("abort")
    assert abort.answered(told=True).status_code == 200


@pytest.fixture
def paused(decided, records):
    """A canary that waits for a person."""
    begun = decided.begin(spec=UNSURE, deployment_strategy="canary", canary_percentage=50)
    until(lambda: status(records, begun) == "paused", "a pause", 180)
    return begun


@pytest.mark.deep
def test_a_rollback_promised_during_an_outage_is_carried_out_though_the_rollout_is_over(
    *, platform, decided, paused, records
):
    """It was recorded as refused, and stayed live."""
    rollback, operation_id = asked(platform, paused, "rollback", reason="complaints"), paused.accepted.operation_id
    with ExitStack() as held:
        with frozen(records, "temporal"):
            assert rollback.once().status_code == 202
            held.enter_context(records.locked(f"{DECISIONS} FOR UPDATE", operation_id))
            # What stands in its socket is not told either.
            killed = kill(Victim.TEMPORAL, records, operation_id="", moment=NOW, serving="")
        await_back(Victim.TEMPORAL, records, killed, 120)
        promoted = asked(platform, paused, "promote", reason="it is fine").answered(told=True)
        assert promoted.status_code == 200, promoted.text
        until(lambda: records.operation(operation_id)["completed_at"] is not None, "the end", 180)
        assert status(records, paused) == "success"
        assert decided.service.version() == paused.version
    answer = rollback.answered(told=True)
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "rolled_back"), answer.text
    assert decided.service.version() != paused.version
    by_promote, taken_back = [("deployment.decided", "accepted")] * 2
    assert entries(records, paused) == [("deployment.rollback", None), by_promote, taken_back]
