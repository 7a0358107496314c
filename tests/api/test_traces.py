"""Traces of requests: whose they are, what they tell, and what is not recorded."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from sqlalchemy import select, update

from api.app import create_app
from api.http.request_traces import READS_AT_ONCE, Allowance
from runtime import trace_provider, tracing
from runtime.ids import now
from runtime.passwords import Passwords
from runtime.settings import Settings
from runtime.trace_provider import RequestsBegin
from storage.engine import transaction
from storage.models import Operation, OutboxEntry
from tests.api.conftest import BASE_URL, CHEAP, RecordedOperations
from tests.support.otlp import TRACES, Trace, collector, traces_of
from tests.support.receiver import Receiver
from tests.support.tracing import forget_provider

THEIRS = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = f"00-{THEIRS}-{PARENT}-01"


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with collector() as found:
        yield found


@pytest.fixture(scope="module")
async def app(settings: Settings, recorder: RecordedOperations, receiver: Receiver) -> AsyncIterator[FastAPI]:
    """As the others', with a collector."""
    forget_provider()
    traced = settings.model_copy(update={"otlp_endpoint": receiver.url(TRACES)})
    app = create_app(traced, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        app.state.parts = replace(app.state.parts, passwords=Passwords(CHEAP))
        yield app
    forget_provider()


@pytest.fixture
def told(receiver: Receiver):
    async def find() -> Mapping[str, Trace]:
        await asyncio.to_thread(trace.get_tracer_provider().force_flush)
        return traces_of(receiver.received)

    receiver.received.clear()
    return find


async def asked(world, version: str, **headers: str) -> httpx2.Response:
    body = {"version_tag": version, "git_branch": "main", "environment": "dev"}
    path = f"/features/{world.feature['id']}/build-and-deploy"
    response = await world.developer.post(path, body, headers=headers)
    assert response.status_code == 202, response.text
    return response


def trace_id(response: httpx2.Response) -> str:
    found: str = response.json()["meta"]["trace_id"]
    return found


async def test_a_delivery_has_one_trace_id_in_its_answer_its_operation_its_rows_and_the_collector(world, told, rows):
    response = await asked(world, "9.9.1")
    operation_id = response.json()["data"]["operation_id"]
    shown = await world.developer.get(f"/operations/{operation_id}")
    assert shown.json()["data"]["trace_id"] == trace_id(response)
    async with transaction(rows) as session:
        entry = await session.scalar(select(OutboxEntry).where(OutboxEntry.resource_id == UUID(operation_id)))
    found = (await told())[trace_id(response)]
    (root,) = found.roots
    assert (root.name, root.service) == ("POST /v1/features/{feature_id}/build-and-deploy", "delivery-engine-api")
    assert root.attributes["http.response.status_code"] == 202
    assert root.attributes["delivery.request_id"] == response.headers["x-request-id"]
    assert entry.traceparent == f"00-{root.trace_id}-{root.span_id}-01"
    assert {"INSERT operations", "INSERT outbox", "INSERT deployments"} <= {one.name for one in found.below(root)}
    everything = "".join(one.text for one in found.spans)
    for secret in ("9.9.1", world.developer.token, world.feature["id"], world.developer.subject):
        assert secret not in everything


async def made(world, told) -> list[str]:
    """The spans below a request that leads to nothing else."""
    path = f"/projects/{world.project['id']}/requirements"
    response = await world.developer.post(
        path, {"title": "Fast", "description": "It is", "acceptance_criteria": ["It is"]}
    )
    assert response.status_code == 201, response.text
    found = (await told())[trace_id(response)]
    (root,) = found.roots
    return [one.name for one in found.below(root)]


async def test_statements_of_a_request_that_leads_to_nothing_else_are_not_told(world, told, monkeypatch):
    monkeypatch.setattr(trace_provider, "LONG_NS", 10**15)
    assert await made(world, told) == []


async def test_nothing_is_kept_of_a_request_that_is_over(world, told, monkeypatch):
    monkeypatch.setattr(trace_provider, "LONG_NS", 10**15)
    await made(world, told)
    assert len(tracing.active()._held) == 0


async def test_they_are_if_they_take_long(world, told, monkeypatch):
    monkeypatch.setattr(trace_provider, "LONG_NS", 0)
    assert "INSERT requirements" in await made(world, told)


async def test_a_caller_whom_we_know_goes_on_with_a_trace_of_their_own(world, told):
    response = await asked(world, "9.9.2", traceparent=SAMPLED)
    assert trace_id(response) == THEIRS
    (root,) = (await told())[THEIRS].roots
    assert root.parent_id == PARENT


async def test_a_strangers_traceparent_is_not_taken(app, world, told):
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as nobody:
        for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"X-API-Key": "dk_no"}):
            response = await nobody.get("/v1/organizations", headers={"traceparent": SAMPLED, **headers})
            assert response.status_code == 401
            assert trace_id(response) != THEIRS
    assert THEIRS not in await told()


@pytest.mark.parametrize(
    "sent",
    [
        [("traceparent", "00-x")],
        [("traceparent", SAMPLED), ("traceparent", SAMPLED)],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", SAMPLED + "-" + "x" * 5000)],
    ],
)
async def test_a_traceparent_that_is_none_is_as_if_there_was_none(world, told, sent):
    token = ("authorization", f"Bearer {world.developer.token}")
    response = await world.developer.http.get("/projects/" + world.project["id"], headers=[token, *sent])
    assert response.status_code == 200
    assert trace_id(response) != THEIRS


async def test_who_asks_for_no_record_gets_none_and_the_delivery_says_its_trace_all_the_same(world, told):
    theirs = "a" * 32
    response = await asked(world, "9.9.3", traceparent=f"00-{theirs}-{PARENT}-00")
    operation = await world.developer.get(f"/operations/{response.json()['data']['operation_id']}")
    assert trace_id(response) == operation.json()["data"]["trace_id"] == theirs
    assert theirs not in await told()


async def test_a_decision_is_a_trace_of_its_own_that_points_at_the_deliverys(world, build_of, rows, told, operations):
    made = await build_of(world, "9.9.4", live=False)
    async with transaction(rows) as session:
        statement = update(Operation).where(Operation.id == UUID(made["operation_id"]))
        await session.execute(statement.values(workflow_started_at=now()))
        operation = await session.get_one(Operation, UUID(made["operation_id"]))
    response = await world.manager.post(f"/deployments/{made['deployment_id']}/resume", {"reason": "because"})
    assert response.status_code == 200, response.text
    (root,) = (await told())[trace_id(response)].roots
    _, delivery, span, _ = operation.traceparent.split("-")
    assert root.links == ((delivery, span),)
    assert delivery != root.trace_id


async def test_errors_have_a_trace_id_and_unknown_paths_are_not_told(world, told):
    response = await world.developer.get("/no-such/s3cr3t")
    assert response.status_code == 404
    found = (await told())[trace_id(response)]
    assert [one.name for one in found.roots] == ["GET"]
    assert "s3cr3t" not in found.roots[0].text


async def test_of_many_reads_a_few_are_recorded_and_all_have_an_id(world, told, app):
    before = now()
    path = f"/projects/{world.project['id']}"
    ids = [trace_id(await world.developer.get(path)) for _ in range(int(READS_AT_ONCE) * 5)]
    assert len(set(ids)) == len(ids)
    recorded = await told()
    took = (now() - before).total_seconds()
    assert len([one for one in ids if one in recorded]) <= READS_AT_ONCE + 10 * took + 1


async def test_a_process_that_does_not_trace_says_nothing_of_traces(settings, recorder, world, caller):
    plain = create_app(settings, make_operations=lambda _: recorder)
    async with plain.router.lifespan_context(plain):
        transport = httpx2.ASGITransport(app=plain)
        headers = {"Authorization": f"Bearer {world.developer.token}", "traceparent": SAMPLED}
        async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL + "/v1", headers=headers) as client:
            body = {"version_tag": "9.9.5", "git_branch": "main", "environment": "dev"}
            response = await client.post(f"/features/{world.feature['id']}/build-and-deploy", json=body)
            operation = await client.get(f"/operations/{response.json()['data']['operation_id']}")
    assert "trace_id" not in response.json()["meta"]
    assert operation.json()["data"]["trace_id"] is None


def test_an_allowance_comes_back_with_time():
    clock = iter([0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 100.0, 100.0, 100.0])
    reads = Allowance(2.0, 2.0, lambda: next(clock))
    assert [reads.take() for _ in range(8)] == [True, True, False, False, True, True, True, False]


@pytest.mark.parametrize(
    ("sampler", "wanted", "recorded"),
    [
        (ParentBased(ALWAYS_ON), True, True),
        (ParentBased(ALWAYS_ON), False, False),
        (ParentBased(ALWAYS_OFF), True, False),
        (ALWAYS_ON, False, True),
        (ALWAYS_OFF, True, False),
    ],
)
def test_a_flag_can_leave_a_trace_out_and_never_force_one_in(sampler, wanted, recorded):
    assert RequestsBegin(sampler).decides("GET", {"http.request.method": "GET"}, wanted=wanted) is recorded


def test_a_share_of_traces_is_drawn_by_us_and_not_by_the_callers_trace_id():
    sampler = RequestsBegin(ParentBased(TraceIdRatioBased(0.1)))
    drawn = sum(sampler.decides("GET", {}, wanted=True) for _ in range(2000))
    assert 100 < drawn < 320
