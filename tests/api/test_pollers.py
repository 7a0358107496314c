"""The API over a real Temporal and a real database: what many pollers cost, and what they are told."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import structlog
from sqlalchemy import event
from sqlalchemy.engine import Engine
from temporalio.client import Client, Interceptor, OutboundInterceptor, QueryWorkflowInput
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.projections import ProjectionActivities
from activities.refusals import Refusals
from activities.signatures import Signatures, StartActivities
from api.app import create_app
from contracts.names import BUILD_QUEUE, CONTROL_QUEUE
from contracts.operations import RECORD_PROGRESS, RecordProgress
from contracts.payload import Nothing
from contracts.stubs import implements
from domain.permissions import Role
from orchestration.connection import Connection
from orchestration.operations import Operations
from runtime.decision_keys import load_verifying_keys
from tests.api.conftest import Caller, make_world
from tests.support.waiting import until
from tests.workflows.world import World
from workflows.registry import WORKFLOWS, sandbox

log = structlog.get_logger(__name__)

POLLERS = 200
SECONDS = 2.0


class Rows(ProjectionActivities):
    """Writes operations; their deployments name builds that the world only dreams of."""

    @implements(RECORD_PROGRESS)
    async def record(self, request: RecordProgress) -> Nothing:
        return await self.record_progress(request.model_copy(update={"deployment": None}))


class CountedClient(Connection):
    """The real connection; counts the queries that leave it."""

    queries = 0

    async def client(self) -> Client:
        if self._client is None:
            self._client = await Client.connect(
                self._settings.temporal_address,
                data_converter=pydantic_data_converter,
                interceptors=[_Counting(self)],
            )
        return self._client


class _Counting(Interceptor):
    def __init__(self, counted: CountedClient) -> None:
        self.counted = counted

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        counted = self.counted

        class Outbound(OutboundInterceptor):
            async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002 - the SDK's name
                counted.queries += 1
                return await super().query_workflow(input)

        return Outbound(next)


@dataclass
class Bed:
    """An operation held in its build step."""

    caller: Caller
    counted: CountedClient
    world: World
    worker: Any
    url: str


@pytest.fixture
async def bed(settings, temporal_env, sessions) -> AsyncIterator[Bed]:
    address = temporal_env.client.service_client.config.target_host
    settings = settings.model_copy(update={"temporal_address": address})
    counted = CountedClient(settings)
    app = create_app(settings, make_operations=lambda _: Operations(settings, counted))
    world = World(temporal_env.client, CONTROL_QUEUE)
    release = world.hold("build.run")
    activities = [one for one in world.activities() if one not in (world.record, world.check_start)]
    signatures = Signatures(load_verifying_keys(settings), Refusals())
    activities += [Rows(sessions).record, StartActivities(sessions, signatures).check]
    async with app.router.lifespan_context(app), _worker(temporal_env.client, activities, world) as worker:
        platform = Caller(app, settings, Role.PLATFORM_ADMIN)
        planned = await make_world(platform, lambda role, org: Caller(app, settings, role, org), f"bed{time.time_ns()}")
        path = f"/features/{planned.feature['id']}/build-and-deploy"
        accepted = await planned.developer.made(
            path, {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev"}
        )
        await asyncio.wait_for(world.reached["build.run"].wait(), 120)
        yield Bed(planned.developer, counted, world, worker, accepted["progress_url"])
        release.set()
        async with asyncio.timeout(120):
            while not (await planned.developer.get(accepted["progress_url"] + "?wait=5")).json()["data"]["done"]:
                pass


@asynccontextmanager
async def _worker(client: Client, activities: list[Any], world: World) -> AsyncIterator[Any]:
    control = Worker(
        client, task_queue=CONTROL_QUEUE, workflows=WORKFLOWS, activities=activities, workflow_runner=sandbox()
    )
    async with control, Worker(client, task_queue=BUILD_QUEUE, activities=[world.open_workspace]):
        yield control


async def test_two_hundred_pollers_cost_what_one_does(bed, record_testsuite_property):
    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    answers: list[dict[str, Any]] = []
    before = bed.counted.queries
    began = time.monotonic()

    async def poll() -> None:
        told = 0
        while told < 3 or time.monotonic() - began < SECONDS:
            told += 1
            response = await bed.caller.get(bed.url)
            assert response.status_code == 200
            answers.append(response.json()["data"])

    event.listen(Engine, "before_cursor_execute", count)
    try:
        await asyncio.gather(*(poll() for _ in range(POLLERS)))
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    took = time.monotonic() - began
    looks = took / 0.25 + 2
    queries = bed.counted.queries - before
    figures = {"requests": len(answers), "queries": queries, "statements": statements, "seconds": round(took, 1)}
    record_testsuite_property("pollers", figures)
    log.info("pollers.cost", **figures)
    assert queries <= looks
    assert statements <= 2 * looks  # the row, and every ten seconds what was learned
    assert {answer["current_step"] for answer in answers} == {"Building"}


async def test_percent_and_version_never_fall(bed):
    seen: list[tuple[int, int]] = []

    async def poll() -> None:
        while True:
            data = (await bed.caller.get(bed.url)).json()["data"]
            seen.append((data["progress_percent"], data["version"]))
            if data["done"]:
                return

    poller = asyncio.create_task(poll())
    await until(lambda: len(seen) > 2)
    bed.world.holds["build.run"].set()
    await asyncio.wait_for(poller, 120)
    assert seen == sorted(seen)
    assert seen[-1][0] == 100


async def test_a_cancel_shows_at_once_although_answers_are_shared(bed):
    assert (await bed.caller.get(bed.url)).json()["data"]["status"] == "in_progress"
    assert (await bed.caller.post(bed.url + "/cancel")).status_code == 202
    told = (await bed.caller.get(bed.url)).json()["data"]
    assert told["cancel_requested_at"]
    assert told["status"] in {"cancelling", "cancelled"}


async def test_the_sharing_keeps_organizations_apart(bed, settings):
    assert (await bed.caller.get(bed.url)).status_code == 200
    stranger = Caller(bed.caller.http._transport.app, settings, Role.DEVELOPER, str(UUID(int=7)))
    answer = await stranger.get(bed.url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")
    assert (await stranger.get(bed.url + "/events")).status_code == 404


async def test_the_end_of_a_client_ends_its_long_poll(bed):
    async def answers() -> None:
        await bed.caller.get(bed.url + "?wait=60")

    poll = asyncio.create_task(answers())
    await until(lambda: _in_a_long_poll() != [])
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    assert _in_a_long_poll() == []


def _in_a_long_poll() -> list[asyncio.Task[Any]]:
    """Tasks that wait for a change, however deep in their calls."""

    def calls(inner: Any) -> Iterator[str]:
        while inner is not None:
            yield getattr(inner, "__name__", "")
            inner = getattr(inner, "cr_await", None)

    return [task for task in asyncio.all_tasks() if "until_changed" in calls(task.get_coro())]
