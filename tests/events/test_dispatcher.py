"""Events arrive: at once, at every endpoint that asks for them, in order per resource, whatever others do."""

import asyncio
import hmac
from collections import Counter
from datetime import timedelta

import pytest
import standardwebhooks
import svix
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from events import dispatcher
from events.delivery_attempt import Courier, record
from events.dispatcher import PER_FAILING_ENDPOINT
from events.egress_guard import WebhookEgress
from events.sender import Sender
from runtime.ids import new_id, now
from storage.engine import Sessions, create_sessions, transaction
from storage.models import Event, WebhookDelivery, WebhookEndpoint
from storage.repositories.webhook_claims import WebhookClaims
from storage.repositories.webhook_fanout import WebhookFanOut
from storage.repositories.webhook_health import WebhookHealth
from tests.support.receiver import Receiver, Reply
from tests.support.waiting import until
from tests.support.webhooks import LOOPBACK, SEALER, Scene, new_secret, relay


@pytest.fixture
async def scene(sessions: Sessions) -> Scene:
    return await Scene.make(sessions)


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        yield receiver


async def test_an_event_arrives_as_the_contract_says(scene, database_url, receiver):
    secret = new_secret()
    endpoint = await scene.endpoint(receiver.url(), secret)
    async with relay(scene.sessions, database_url):
        event_id = await scene.event("deployment.completed", deployment={"id": "d", "status": "success"})
        [delivery] = await scene.until(endpoint.id, "succeeded")
    [request] = receiver.received
    assert request.content | {"timestamp": ""} == {
        "event": "deployment.completed",
        "timestamp": "",
        "event_id": str(event_id),
        "retry_count": 0,
        "data": {"deployment": {"id": "d", "status": "success"}},
    }
    assert request.content["timestamp"].endswith("Z")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == str(event_id)
    for library in (standardwebhooks, svix):
        library.Webhook(secret).verify(request.body, dict(request.headers))
    signature = hmac.new(secret.encode(), request.body, "sha256").hexdigest()
    assert request.headers["x-signature-256"] == f"sha256={signature}"
    [attempt] = await scene.attempts(delivery.id)
    assert (attempt.number, attempt.response_status, attempt.error) == (1, 204, None)
    assert not {"webhook-signature", "x-signature-256"} & {name.lower() for name in attempt.request_headers}


async def test_only_endpoints_that_ask_for_an_event_get_it(scene, database_url, receiver):
    other = await Scene.make(scene.sessions)
    asks = await scene.endpoint(receiver.url("/asks"), events=["feature.created", "build.completed"])
    does_not = await scene.endpoint(receiver.url("/not"), events=["build.completed"])
    disabled = await scene.endpoint(receiver.url("/disabled"), status="disabled")
    stranger = await other.endpoint(receiver.url("/stranger"))
    async with relay(scene.sessions, database_url):
        await scene.event()
        await scene.until(asks.id, "succeeded")
    for one in (does_not, disabled, stranger):
        assert await scene.deliveries(one.id) == []


async def test_what_was_committed_while_no_relay_ran_is_sent_later(scene, database_url, receiver):
    endpoint = await scene.endpoint(receiver.url())
    resource = new_id()
    sent = [str(await scene.event("feature.status_changed", resource)) for _ in range(20)]
    async with relay(scene.sessions, database_url):
        await scene.until(endpoint.id, *["succeeded"] * 20)
    assert [request.content["event_id"] for request in receiver.received] == sent


async def test_a_dead_endpoint_delays_nobody_and_holds_few_places(scene, database_url, receiver):
    never = asyncio.Event()
    receiver.answer = lambda request: Reply(hold=never if request.path == "/dead" else None)
    await scene.endpoint(receiver.url("/dead"), first_failure_at=now())
    good = await scene.endpoint(receiver.url("/good"))
    async with relay(scene.sessions, database_url, limit_s=600):
        for _ in range(30):
            await scene.event()
        await scene.until(good.id, *["succeeded"] * 30)
        dead = [request for request in receiver.received if request.path == "/dead"]
        assert len(dead) == PER_FAILING_ENDPOINT
        never.set()


async def test_an_organization_with_many_slow_endpoints_leaves_room_for_others(scene, receiver):
    """Endpoints that answer well, but slowly, are not failing: each may have many requests under way."""
    other = await Scene.make(scene.sessions)
    slow = [(await scene.endpoint(receiver.url())).id for _ in range(3)]
    good = (await other.endpoint(receiver.url())).id
    for _ in range(10):
        await scene.event()
    for _ in range(3):
        await other.event()
    async with scene.sessions() as session:
        await session.execute(update(WebhookDelivery).values(status="exhausted"))  # what other tests have left
        await WebhookFanOut(session).fan_out(limit=500)
        for under_way, wanted in ({}, 27), ({slow[0]: 10}, 20), ({slow[0]: 10, slow[1]: 10}, 10), ({good: 30}, 30):
            claims = await WebhookClaims(session).claim(under_way, most=30, few=2, free=30, window=500)
            taken = Counter(claim.organization_id for claim in claims)
            others = 0 if good in under_way else 3
            assert (taken[other.organization_id], taken[scene.organization_id]) == (others, wanted)
            await session.execute(update(WebhookDelivery).values(locked_until=None))
        await session.rollback()


async def test_a_later_event_of_the_same_resource_waits_for_the_earlier_one(scene, database_url, receiver):
    receiver.answer = lambda request: Reply(500 if request.content["data"]["n"] == 1 else 200)
    endpoint = await scene.endpoint(receiver.url())
    resource = new_id()
    async with relay(scene.sessions, database_url):
        for number in (1, 2):
            await scene.event(resource_id=resource, n=number)
        await scene.event(n=3)
        first, second, third = await scene.until(endpoint.id, "failed", "pending", "succeeded")
        assert (first.attempts, second.attempts, third.attempts) == (1, 0, 1)
        [attempt] = await scene.attempts(first.id)
        assert timedelta(seconds=3) < first.next_attempt_at - attempt.started_at < timedelta(seconds=60)
        async with transaction(scene.sessions) as session:
            row = await session.merge(first)
            row.status = "exhausted"
        await scene.until(endpoint.id, "exhausted", "succeeded", "succeeded")


async def test_workers_side_by_side_share_without_doubling(scene, database_url, receiver):
    endpoint = await scene.endpoint(receiver.url())
    resources = [new_id() for _ in range(5)]
    async with relay(scene.sessions, database_url), relay(scene.sessions, database_url):
        sent = [str(await scene.event(resource_id=resources[n % 5], n=n)) for n in range(60)]
        await scene.until(endpoint.id, *["succeeded"] * 60)
    assert sorted(request.content["event_id"] for request in receiver.received) == sorted(sent)
    for resource in range(5):
        numbers = [request.content["data"]["n"] for request in receiver.received]
        of_one = [number for number in numbers if number % 5 == resource]
        assert of_one == sorted(of_one)


@pytest.mark.parametrize("ahead_h", [0, 1], ids=["over", "written before the clock was set back"])
async def test_the_claims_of_a_dead_worker_are_taken_over(scene, database_url, receiver, ahead_h):
    endpoint = await scene.endpoint(receiver.url())
    await scene.event()
    async with transaction(scene.sessions) as session:
        await WebhookFanOut(session).fan_out(limit=10)
        [claim] = await WebhookClaims(session).claim({}, most=1, few=1, free=10, window=None)
    async with transaction(scene.sessions) as session:
        assert await WebhookClaims(session).claim({}, most=1, few=1, free=10, window=None) == []
        [row] = await scene.deliveries(endpoint.id)
        assert timedelta(0) < row.locked_until - now() < timedelta(seconds=30)
        row = await session.merge(row)
        row.locked_until = now() + timedelta(hours=ahead_h)
    async with relay(scene.sessions, database_url):
        await scene.until(endpoint.id, "succeeded")
    assert claim.event_id == row.event_id


FUNCTION = """
CREATE FUNCTION pg_temp.refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$ LANGUAGE plpgsql
"""
TRIGGER = """
CREATE TRIGGER refusing BEFORE INSERT ON webhook_deliveries FOR EACH ROW WHEN (NEW.event_id = '{event}')
EXECUTE FUNCTION pg_temp.refuse()
"""


async def test_a_delivery_that_cannot_be_written_holds_up_no_other(scene, receiver):
    other = await Scene.make(scene.sessions)
    endpoint, stranger = await scene.endpoint(receiver.url()), await other.endpoint(receiver.url())
    first, bad, last = [await scene.event() for _ in range(3)]
    behind = await other.event()
    async with scene.sessions() as session:
        await session.execute(text(FUNCTION))
        await session.execute(text(TRIGGER.format(event=bad)))
        with capture_logs():  # to render the fault for people takes seconds, and the database waits for nobody so long
            await WebhookFanOut(session).fan_out(limit=1000)
        ours = WebhookDelivery.endpoint_id.in_([endpoint.id, stranger.id])
        made = (await session.scalars(select(WebhookDelivery.event_id).where(ours))).all()
        waiting = (await session.scalars(select(Event.id).where(Event.fanned_out_at.is_(None)))).all()
        await session.rollback()
    assert set(made) == {first, last, behind}
    assert bad not in waiting


async def test_a_fan_out_that_does_not_commit_leaves_nothing(scene, receiver):
    endpoint = await scene.endpoint(receiver.url())
    event_id = await scene.event()
    async with scene.sessions() as session:
        assert await WebhookFanOut(session).fan_out(limit=1000) >= 1
        await session.rollback()
    async with transaction(scene.sessions) as session:
        assert (await session.get_one(Event, event_id)).fanned_out_at is None
    assert await scene.deliveries(endpoint.id) == []


async def test_during_a_rotation_both_secrets_verify(scene, database_url, receiver):
    new, old = new_secret(), new_secret()
    endpoint = await scene.endpoint(receiver.url(), new)
    async with transaction(scene.sessions) as session:
        row = await session.get_one(WebhookEndpoint, endpoint.id)
        row.previous_secret = SEALER.seal(old.encode(), f"webhook:{row.id}")
        row.previous_secret_until = now() + timedelta(hours=1)
    async with relay(scene.sessions, database_url):
        await scene.event()
        await scene.until(endpoint.id, "succeeded")
        async with transaction(scene.sessions) as session:
            (await session.get_one(WebhookEndpoint, endpoint.id)).previous_secret_until = now()
        await scene.event()
        await scene.until(endpoint.id, "succeeded", "succeeded")
    during, after = receiver.received
    for library, error in (
        (standardwebhooks, standardwebhooks.WebhookVerificationError),
        (svix, svix.webhooks.WebhookVerificationError),
    ):
        for secret in (old, new):
            library.Webhook(secret).verify(during.body, dict(during.headers))
        library.Webhook(new).verify(after.body, dict(after.headers))
        with pytest.raises(error):
            library.Webhook(old).verify(after.body, dict(after.headers))


@pytest.mark.parametrize("status", [200, 500])
async def test_an_endpoint_is_disabled_while_answers_are_written_down(scene, database_url, receiver, status):
    """Both lock the endpoint before its deliveries; in another order they would wait for each other."""
    receiver.answer = lambda _: Reply(status)
    endpoint = await scene.endpoint(receiver.url(), first_failure_at=now())
    await scene.event()
    async with relay(scene.sessions, database_url):
        await scene.until(endpoint.id, "succeeded" if status == 200 else "failed")
    async with transaction(scene.sessions) as session:
        again = update(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id)
        await session.execute(again.values(status="failed", attempts=1, next_attempt_at=None))
        [row] = await session.scalars(select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id))
    async with transaction(scene.sessions) as session:
        claim = await WebhookClaims(session).retry(row.id, 2)
    sender = Sender(WebhookEgress(LOOPBACK))
    result = await Courier(sender, SEALER).attempt(claim)
    await sender.close()

    async def written() -> None:
        async with transaction(scene.sessions) as session:
            await record(session, [result])

    async with transaction(scene.sessions) as session:
        await session.get_one(WebhookEndpoint, endpoint.id, with_for_update=True)
        writing = asyncio.create_task(written())
        await waiting_for_a_lock(scene.sessions)
        await WebhookHealth(session).give_up(endpoint.id)
    await writing
    [row] = await scene.deliveries(endpoint.id)
    assert (row.status, row.attempts) == ("exhausted", 1)


async def test_an_endpoint_deleted_at_that_moment_does_not_hold_up_the_fan_out(scene, receiver):
    gone, other = [await scene.endpoint(receiver.url()) for _ in range(2)]
    await scene.event()

    async def fan_out() -> None:
        async with transaction(scene.sessions) as session:
            await WebhookFanOut(session).fan_out(limit=500)

    async with transaction(scene.sessions) as session:
        row = await session.get_one(WebhookEndpoint, gone.id, with_for_update=True)
        working = asyncio.create_task(fan_out())
        await waiting_for_a_lock(scene.sessions)
        await session.delete(row)
    await working
    assert len(await scene.deliveries(other.id)) == 1


async def waiting_for_a_lock(sessions):
    waits = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(120), sessions() as session:
        while not await session.scalar(waits):
            await session.rollback()


async def test_410_disables_the_endpoint_and_tells_the_others(scene, database_url, receiver):
    receiver.answer = lambda request: Reply(410 if request.path == "/gone" else 200)
    gone = await scene.endpoint(receiver.url("/gone"), events=["feature.created"])
    other = await scene.endpoint(receiver.url("/other"), events=["webhook.disabled"])
    async with relay(scene.sessions, database_url):
        await scene.event()
        await scene.until(gone.id, "exhausted")
        await scene.until(other.id, "succeeded")
    row = await scene.reload(gone)
    assert (row.status, row.disabled_reason) == ("disabled", "gone")
    [told] = [request for request in receiver.received if request.path == "/other"]
    assert told.content["data"]["webhook"]["id"] == str(gone.id)
    assert told.content["data"]["webhook"]["disabled_reason"] == "gone"


async def test_five_days_of_failures_disable_and_one_success_begins_anew(scene, database_url, receiver):
    status = 500
    receiver.answer = lambda _: Reply(status)
    almost = await scene.endpoint(
        receiver.url(), events=["feature.created"], first_failure_at=now() - timedelta(days=4, hours=23)
    )
    over = await scene.endpoint(receiver.url(), first_failure_at=now() - timedelta(days=5))
    async with relay(scene.sessions, database_url):
        await scene.event()
        await scene.until(almost.id, "failed")
        [given_up] = await scene.until(over.id, "exhausted")
        status = 200
        await scene.event()
        await scene.until(almost.id, "failed", "succeeded")
    assert given_up.last_error == "the webhook is disabled"
    assert (await scene.reload(over)).disabled_reason == "failing"
    healthy = await scene.reload(almost)
    assert (healthy.status, healthy.first_failure_at) == ("enabled", None)


async def test_retry_after_is_honoured(scene, database_url, receiver):
    receiver.answer = lambda _: Reply(503, {"Retry-After": "120"})
    endpoint = await scene.endpoint(receiver.url())
    async with relay(scene.sessions, database_url):
        await scene.event()
        [row] = await scene.until(endpoint.id, "failed")
    [attempt] = await scene.attempts(row.id)
    assert timedelta(seconds=119) < row.next_attempt_at - attempt.started_at < timedelta(seconds=180)


async def test_a_stopping_relay_writes_down_what_came_back(scene, database_url, receiver):
    hold = asyncio.Event()
    receiver.answer = lambda _: Reply(hold=hold)
    endpoint = await scene.endpoint(receiver.url())
    async with relay(scene.sessions, database_url):
        await scene.event()
        await until(lambda: len(receiver.received) == 1)
        asyncio.get_running_loop().call_later(0.2, hold.set)
    [row] = await scene.deliveries(endpoint.id)
    assert (row.status, row.locked_until) == ("succeeded", None)


async def test_a_fan_out_that_takes_too_long_gets_on_in_smaller_portions(scene, database_url, receiver, monkeypatch):
    """Many events at once, many webhooks: what the database does not do in one go within its limit it does in parts."""
    monkeypatch.setattr(dispatcher, "FAN_OUT_BATCH", 32)
    endpoint = await scene.endpoint(receiver.url())
    sent = [str(await scene.event("feature.status_changed", scene.organization_id)) for _ in range(32)]
    slow = text(
        "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$ LANGUAGE plpgsql"
    )
    engine = create_async_engine(database_url, connect_args={"options": "-c statement_timeout=1000"})
    async with transaction(scene.sessions) as session:
        await session.execute(slow)
        await session.execute(
            text("CREATE TRIGGER slow BEFORE INSERT ON webhook_deliveries FOR EACH ROW EXECUTE FUNCTION slow()")
        )
    try:
        async with relay(create_sessions(engine), database_url):
            await scene.until(endpoint.id, *["succeeded"] * 32)
    finally:
        async with transaction(scene.sessions) as session:
            await session.execute(text("DROP FUNCTION slow CASCADE"))
        await engine.dispose()
    assert [request.content["event_id"] for request in receiver.received] == sent
