"""The timeline of a deployment: samples, states, weights, verdicts, decisions, waits; bounded."""

import itertools
from datetime import timedelta
from uuid import UUID

import pytest

from domain.canary.counts import SideCounts
from domain.canary.state import JudgeState
from domain.canary.verdict import Judgement
from domain.lifecycle import DeploymentStatus
from domain.timeline import Kind, sample
from runtime.ids import now
from storage.engine import transaction
from storage.models import Deployment, Environment
from storage.repositories.outcomes import Cause
from storage.repositories.projections import ProjectionRepository
from storage.repositories.routing import RoutingRepository
from storage.repositories.timeline import MAX_SAMPLES, TimelineRepository

BODY = {"git_branch": "main", "environment": "dev", "deployment_strategy": "canary", "canary_percentage": 10}


@pytest.fixture
async def deployment(world, request):
    version = f"72.{abs(hash(request.node.name)) % 10**6}.0"
    path = f"/features/{world.feature['id']}/build-and-deploy"
    return (await world.developer.made(path, {**BODY, "version_tag": version}))["resource_id"]


@pytest.fixture
def moved(rows):
    """What the worker writes when a deployment moves."""

    async def move(deployment: str, *states: DeploymentStatus) -> None:
        for version, state in enumerate(states, 1):
            for _ in range(2):  # tried again
                async with transaction(rows) as session:
                    row = await session.get_one(Deployment, UUID(deployment))
                    cause = Cause(row.operation_id, version, row.created_at)
                    await ProjectionRepository(session).deployment(row.id, {"status": state}, cause)

    return move


def looked(errors: int, requests: int) -> dict:
    side = SideCounts(requests=0, bounds=(10.0, 100.0), at_or_below=(0, 0))
    read = SideCounts(requests=requests, errors=errors, bounds=(10.0, 100.0), at_or_below=(requests // 2, requests))
    state = JudgeState.begin(now(), stable=side, canary=side)
    canary, _ = state.canary.read(read)
    judgement = Judgement(verdict="inconclusive", final=False, reasons=("not decided",), elapsed_seconds=1.5)
    return sample(state.model_copy(update={"canary": canary}), judgement, 10)


async def test_what_happened_is_told_in_order(*, world, deployment, moved, rows, operations):
    state = DeploymentStatus
    await moved(deployment, state.QUEUED, state.IN_PROGRESS)
    async with transaction(rows) as session:
        row = await session.get_one(Deployment, UUID(deployment))
        (await session.get_one(Environment, row.environment_id)).holder_deployment_id = row.id
        await session.flush()
        for weight in (10, 10, 50):  # the second is a retry
            shares = [(row.id, weight), (row.environment_id, 100 - weight)]
            await RoutingRepository(session).set_route(row.environment_id, f"{deployment}.localhost", shares)
        timeline = TimelineRepository(session)
        await timeline.sample(row.id, "step-1-1", now(), looked(1, 50))
        verdict = {"analysis": "step-1-1", "verdict": "pass", "reasons": ["fine"], "weight": 10}
        for _ in range(2):
            await timeline.note(row.id, Kind.VERDICT, "step-1-1", verdict)
    assert (await world.developer.post(f"/deployments/{deployment}/pause", {"reason": "look"})).status_code in {
        200,
        202,
    }
    data = (await world.developer.get(f"/deployments/{deployment}/timeline")).json()["data"]
    told = [(event["kind"], event["status"], event["verdict"], event["action"]) for event in data["events"]]
    assert [each for each in told if each[0] == "status"] == [
        ("status", "queued", None, None),
        ("status", "in_progress", None, None),
    ]
    weights = [event["weights"] for event in data["events"] if event["kind"] == "weight"]
    assert [each[deployment] for each in weights] == [10, 50]
    assert [each for each in told if each[0] == "verdict"] == [("verdict", None, "pass", None)]
    [pause] = [event for event in data["events"] if event["action"] == "pause"]
    assert (pause["actor"], pause["reason"], pause["outcome"]) == (world.developer.subject, "look", "accepted")
    [one] = data["samples"]
    assert one["canary"] == {
        "requests": 50,
        "errors": 1,
        "error_rate_percent": 2.0,
        "p50_ms": 10.0,
        "p95_ms": 100.0,
        "p99_ms": 100.0,
    }
    assert one["stable"]["requests"] == 0
    assert (one["weight"], one["elapsed_seconds"]) == (10, 1.5)
    [wait] = data["waits"]
    assert (wait["waits_for"], wait["status"]) == ("lock", "queued")
    assert wait["completed_at"] is not None
    assert data["events"] == sorted(data["events"], key=lambda event: event["at"])
    assert not data["truncated"]


async def test_samples_are_bounded_and_stay_spread_over_the_whole_time(world, deployment, rows):
    begin = now()
    data = looked(0, 10)
    async with transaction(rows) as session:
        timeline = TimelineRepository(session)
        for second in range(600):
            await timeline.sample(UUID(deployment), "step-1-1", begin + timedelta(seconds=second), data)
    samples = (await world.developer.get(f"/deployments/{deployment}/timeline")).json()["data"]["samples"]
    assert MAX_SAMPLES / 2 <= len(samples) <= MAX_SAMPLES
    async with transaction(rows) as session:
        kept = [entry.at for entry in await TimelineRepository(session).samples(UUID(deployment))]
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(kept)]
    assert max(gaps) <= 12
    assert (kept[-1] - begin).total_seconds() == 599


async def test_an_empty_one_and_other_peoples(world, other_world, deployment):
    data = (await world.developer.get(f"/deployments/{deployment}/timeline")).json()["data"]
    assert (data["samples"], data["waits"], data["status"]) == ([], [], "pending")
    assert (await other_world.developer.get(f"/deployments/{deployment}/timeline")).status_code == 404
