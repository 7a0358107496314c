"""Decisions on the real stack: none is lost and none doubled, whoever hangs or is killed at the moment."""

import itertools

import pytest

from tests.chaos.frozen import frozen
from tests.chaos.moments import moments
from tests.chaos.victims import Victim, await_back, kill
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

# A rollout that watches for as long as nobody decides otherwise.
WATCHED = {"rollout": {"scale_down_delay": 1, "verify_seconds": 200}}
NOW = moments(1)[0]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def decided(platform):
    app = platform.app("decided")
    app.ship_good()
    return app


@pytest.fixture
def watched(decided):
    """A deployment that is being watched."""
    begun = decided.begin(spec=WATCHED)
    operation_id = begun.accepted.operation_id
    seen = "atch"  # "Watching", "watch"
    until(lambda: seen in (decided.api.operation(operation_id)["current_step"] or ""), "it is watched", 90)
    yield begun
    decide(decided, begun, "abort", reason="the test is over")
    decided.api.wait(operation_id, 180)


def decide(app, begun, action: str, key: str | None = None, **body: str):
    headers = {"Idempotency-Key": key} if key else {}
    path = f"/v1/deployments/{begun.accepted.deployment_id}/{action}"
    return app.api.raw("POST", path, json=body, headers=headers)


def status(app, begun) -> str:
    return app.api.deployment(begun.accepted.deployment_id)["status"]


def entries(records, begun) -> list[tuple[str, str | None]]:
    """What the audit log says of decisions about a deployment, in its order."""
    rows = records.all(
        "SELECT action, details->>'outcome' AS outcome FROM audit_log WHERE resource_id = %s AND (action IN "
        "('deployment.pause', 'deployment.resume', 'deployment.abort', 'deployment.decided')) ORDER BY id",
        str(begun.accepted.deployment_id),
    )
    return [(row["action"], row["outcome"]) for row in rows]


def test_pause_and_resume_answer_the_state_after_them(decided, watched, records):
    """`pause` in the middle of a watch answered 200 `in_progress`."""
    paused = decide(decided, watched, "pause")
    assert (paused.status_code, paused.json()["data"]["status"]) == (200, "paused")
    resumed = decide(decided, watched, "resume")
    assert (resumed.status_code, resumed.json()["data"]["status"]) == (200, "in_progress")
    again = decide(decided, watched, "resume")
    assert (again.status_code, again.json()["error"]["details"]["state"]) == (400, "in_progress")
    told = [("deployment.pause", None), ("deployment.decided", "accepted")]
    told += [("deployment.resume", None), ("deployment.decided", "accepted")]
    assert entries(records, watched) == [*told, ("deployment.resume", None), ("deployment.decided", "refused")]


def test_a_decision_while_the_worker_hangs_is_kept_and_told_once(decided, watched, records):
    key = f"hangs-{next(NUMBERS)}"
    with frozen(records, "worker"):
        kept = decide(decided, watched, "pause", key, reason="look")
        assert kept.status_code == 202, kept.text
        again = decide(decided, watched, "pause", key, reason="look")
        assert again.status_code == 202
    until(lambda: status(decided, watched) == "paused", "the pause", 180)
    until(lambda: len(entries(records, watched)) == 2, "its outcome", 180)
    told = decide(decided, watched, "pause", key, reason="look")
    assert (told.status_code, told.json()["data"]["status"]) == (200, "paused")
    assert entries(records, watched) == [("deployment.pause", None), ("deployment.decided", "accepted")]


def test_with_temporal_away_a_pause_is_refused_and_an_abort_is_kept(decided, watched, records):
    with frozen(records, "temporal"):
        refused = decide(decided, watched, "pause", f"away-{next(NUMBERS)}")
        assert refused.status_code == 503
        assert entries(records, watched) == []
        kept = decide(decided, watched, "abort", reason="no")
        assert kept.status_code == 202
    until(lambda: status(decided, watched) in ("rolled_back", "cancelled"), "the abort", 90)
    until(lambda: len(entries(records, watched)) == 2, "its outcome", 180)
    assert entries(records, watched) == [("deployment.abort", None), ("deployment.decided", "accepted")]


@pytest.mark.parametrize("victim", [Victim.API, Victim.TEMPORAL, Victim.WORKER])
def test_killed_right_after_a_decision_was_kept(decided, watched, records, victim):
    """Whoever dies between the promise and its carrying out: it is carried out, once."""
    with frozen(records, "worker"):
        assert decide(decided, watched, "pause", reason="look").status_code == 202
        if victim is not Victim.WORKER:
            killed = kill(victim, records, operation_id="", moment=NOW, serving="")
    if victim is Victim.WORKER:
        killed = kill(victim, records, operation_id="", moment=NOW, serving="")
    await_back(victim, records, killed)
    until(lambda: len(entries(records, watched)) == 2, "its outcome", 120)
    until(lambda: status(decided, watched) == "paused", "the pause", 180)
    assert entries(records, watched) == [("deployment.pause", None), ("deployment.decided", "accepted")]
