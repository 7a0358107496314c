"""What fails at first is tried again by a workflow, on the schedule, and nothing is lost while Temporal is away."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update
from temporalio.worker import Worker

from activities.webhooks import PER_ENDPOINT, WebhookActivities
from contracts.names import WEBHOOK_QUEUE, webhook_delivery_workflow_id
from contracts.webhooks import WebhookAttempt, WebhookOutcome
from domain.errors import DependencyError
from events.retry_scheduler import RetryScheduler
from events.webhook_retrier import WebhookRetrier
from orchestration.webhooks import Webhooks
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import WebhookDelivery
from tests.support.receiver import Receiver, Reply
from tests.support.waiting import until
from tests.support.webhooks import Scene, relay
from workflows.registry import sandbox
from workflows.webhook_delivery import WebhookDeliveryWorkflow


class Connected:
    """A connection to the session's Temporal, that can be away."""

    def __init__(self, client) -> None:
        self._client = client
        self.away = False

    async def client(self):
        if self.away:
            raise DependencyError("away")
        return self._client


@pytest.fixture
async def scene(sessions: Sessions) -> Scene:
    return await Scene.make(sessions)


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def temporal(temporal_env) -> Connected:
    return Connected(temporal_env.client)


async def due_now(sessions: Sessions, delivery_id) -> None:
    async with transaction(sessions) as session:
        due = update(WebhookDelivery).where(WebhookDelivery.id == delivery_id)
        await session.execute(due.values(next_attempt_at=now()))


async def test_a_failed_delivery_goes_on_as_a_workflow_and_then_the_next_one_follows(
    scene, database_url, receiver, temporal, temporal_env
):
    receiver.answer = lambda request: Reply(500 if request.content["retry_count"] == 0 and len(seen()) < 2 else 200)

    def seen() -> list[int]:
        return [request.content["data"]["n"] for request in receiver.received]

    endpoint = await scene.endpoint(receiver.url("/hook?token=abc"))
    resource = new_id()
    scheduler = RetryScheduler(scene.sessions, Webhooks(temporal), asyncio.Event())
    async with relay(scene.sessions, database_url) as courier:
        for number in (1, 2):
            await scene.event(resource_id=resource, n=number)
        first, _ = await scene.until(endpoint.id, "failed", "pending")
        await due_now(scene.sessions, first.id)
        activities = WebhookActivities(WebhookRetrier(scene.sessions, courier))
        async with Worker(
            temporal_env.client,
            task_queue=WEBHOOK_QUEUE,
            workflows=[WebhookDeliveryWorkflow],
            activities=[activities.attempt],
            workflow_runner=sandbox(),
        ):
            assert await scheduler.reconcile() == 1
            assert await scheduler.reconcile() == 0
            handle = temporal_env.client.get_workflow_handle(
                webhook_delivery_workflow_id(first.id), result_type=WebhookOutcome
            )
            assert (await handle.result()).status == "succeeded"
            await scene.until(endpoint.id, "succeeded", "succeeded")
    assert [(n["data"]["n"], n["retry_count"]) for n in (r.content for r in receiver.received)] == [
        (1, 0),
        (1, 1),
        (2, 0),
    ]
    assert receiver.received[0].content["event_id"] == receiver.received[1].content["event_id"]
    assert [attempt.number for attempt in await scene.attempts(first.id)] == [1, 2]
    described = await handle.describe()
    assert await described.static_summary() == f"feature.created to http://127.0.0.1:{receiver.port}"


async def test_while_temporal_is_away_the_delivery_waits_in_its_table(scene, database_url, receiver, temporal):
    receiver.answer = lambda _: Reply(500)
    endpoint = await scene.endpoint(receiver.url())
    async with relay(scene.sessions, database_url):
        await scene.event()
        await scene.until(endpoint.id, "failed")
    scheduler = RetryScheduler(scene.sessions, Webhooks(temporal), asyncio.Event())
    temporal.away = True
    assert await scheduler.reconcile() == 0
    [row] = await scene.deliveries(endpoint.id)
    assert row.workflow_started_at is None
    temporal.away = False
    assert await scheduler.reconcile() == 0  # it pauses for a moment
    await RetryScheduler(scene.sessions, Webhooks(temporal), asyncio.Event()).reconcile()
    [row] = await scene.deliveries(endpoint.id)
    assert row.workflow_started_at is not None


async def test_a_workflow_that_is_gone_is_started_again(scene, database_url, receiver, temporal):
    receiver.answer = lambda _: Reply(500)
    endpoint = await scene.endpoint(receiver.url())
    async with relay(scene.sessions, database_url):
        await scene.event()
        [row] = await scene.until(endpoint.id, "failed")
    scheduler = RetryScheduler(scene.sessions, Webhooks(temporal), asyncio.Event())
    await scheduler.reconcile()
    workflow = (await temporal.client()).get_workflow_handle(webhook_delivery_workflow_id(row.id))
    first = (await workflow.describe()).run_id
    await workflow.terminate()
    assert await scheduler.reconcile() == 0
    async with transaction(scene.sessions) as session:
        past = now() - timedelta(hours=1)
        late = update(WebhookDelivery).where(WebhookDelivery.id == row.id)
        await session.execute(late.values(next_attempt_at=past, workflow_started_at=past))
    assert await scheduler.reconcile() == 1
    assert (await workflow.describe()).run_id != first


async def test_an_attempt_asked_for_twice_is_made_once(scene, database_url, receiver):
    receiver.answer = lambda _: Reply(500)
    endpoint = await scene.endpoint(receiver.url())
    async with relay(scene.sessions, database_url) as courier:
        await scene.event()
        [row] = await scene.until(endpoint.id, "failed")
        retries = WebhookRetrier(scene.sessions, courier)
        await due_now(scene.sessions, row.id)
        outcomes = [await retries.retry(row.id, 2) for _ in range(2)]
        assert outcomes[0] == outcomes[1]
        assert (outcomes[0].status, outcomes[0].attempts, outcomes[0].answer) == ("failed", 2, "answered 500")
        assert len(receiver.received) == 2
        async with transaction(scene.sessions) as session:
            held = update(WebhookDelivery).where(WebhookDelivery.id == row.id)
            await session.execute(held.values(locked_until=now() + timedelta(seconds=10), next_attempt_at=now()))
        with pytest.raises(DependencyError):
            await retries.retry(row.id, 3)
        assert (await retries.retry(new_id(), 2)).status == "removed"


async def test_nobody_uses_up_the_attempts_of_a_receiver_that_is_away(scene, database_url, receiver):
    """Whoever reaches Temporal can start the workflow of a delivery, with any time in its order."""
    receiver.answer = lambda _: Reply(500)
    endpoint = await scene.endpoint(receiver.url())
    async with relay(scene.sessions, database_url) as courier:
        await scene.event()
        [row] = await scene.until(endpoint.id, "failed")
        async with transaction(scene.sessions) as session:
            later = update(WebhookDelivery).where(WebhookDelivery.id == row.id)
            await session.execute(later.values(next_attempt_at=now() + timedelta(minutes=5)))
        with pytest.raises(DependencyError):
            await WebhookRetrier(scene.sessions, courier).retry(row.id, 2)
    assert len(receiver.received) == 1


async def test_the_tenth_failure_is_the_last(scene, database_url, receiver):
    receiver.answer = lambda _: Reply(500)
    endpoint = await scene.endpoint(receiver.url())
    async with relay(scene.sessions, database_url) as courier:
        await scene.event()
        [row] = await scene.until(endpoint.id, "failed")
        retries = WebhookRetrier(scene.sessions, courier)
        outcomes = []
        for number in range(2, 11):
            await due_now(scene.sessions, row.id)
            outcomes.append(await retries.retry(row.id, number))
    assert [outcome.status for outcome in outcomes] == [*["failed"] * 8, "exhausted"]
    assert outcomes[-1].next_attempt_at is None
    assert [request.content["retry_count"] for request in receiver.received] == list(range(10))


async def test_a_dead_endpoint_takes_few_places_of_the_retries():
    hold, endpoint_id = asyncio.Event(), new_id()

    class Slow:
        started = 0

        async def retry(self, delivery_id, number):
            self.started += 1
            await hold.wait()
            return WebhookOutcome(status="succeeded", attempts=number)

    slow = Slow()
    activities = WebhookActivities(slow)
    request = WebhookAttempt(delivery_id=new_id(), endpoint_id=endpoint_id, number=2)
    tasks = [asyncio.create_task(activities._attempt(request)) for _ in range(PER_ENDPOINT)]
    await until(lambda: slow.started == PER_ENDPOINT)
    with pytest.raises(DependencyError):
        await activities._attempt(request)
    other = asyncio.create_task(activities._attempt(request.model_copy(update={"endpoint_id": new_id()})))
    await until(lambda: slow.started == PER_ENDPOINT + 1)
    hold.set()
    assert len(await asyncio.gather(*tasks, other)) == PER_ENDPOINT + 1
