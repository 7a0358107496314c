"""Events go after thirty days, with their deliveries; what was not fanned out stays."""

from datetime import timedelta

from sqlalchemy import update

from reconcilers.event_retention import EventRetention
from runtime.ids import now
from storage.engine import transaction
from storage.models import Event, WebhookDelivery, WebhookEndpoint
from storage.repositories.retention import SweepingRepository
from storage.repositories.webhook_claims import WebhookClaims
from storage.repositories.webhook_fanout import WebhookFanOut
from storage.repositories.webhook_health import WebhookHealth
from storage.repositories.webhooks import DELETED
from tests.support.webhooks import Scene


async def test_old_events_go_with_their_deliveries_and_the_rest_stays(sessions):
    scene = await Scene.make(sessions)
    endpoint = await scene.endpoint("http://127.0.0.1:9/")
    old, new, other = [await scene.event() for _ in range(3)]
    async with transaction(sessions) as session:
        await WebhookFanOut(session).fan_out(limit=10)
    waiting = await scene.event()
    async with transaction(sessions) as session:
        past = now() - timedelta(days=30, hours=1)
        await session.execute(update(Event).where(Event.id.in_([old, other, waiting])).values(occurred_at=past))
    assert await EventRetention(sessions, batch=1).sweep() == 2
    assert [row.event_id for row in await scene.deliveries(endpoint.id)] == [new]
    async with transaction(sessions) as session:
        assert await session.get(Event, waiting) is not None


async def test_what_was_fanned_out_while_its_endpoint_was_disabled_is_given_up(sessions):
    scene = await Scene.make(sessions)
    endpoint = await scene.endpoint("http://127.0.0.1:9/")
    await scene.event()
    async with transaction(sessions) as session:
        await WebhookFanOut(session).fan_out(limit=10)
        (await session.get_one(WebhookEndpoint, endpoint.id)).status = "disabled"
    await EventRetention(sessions).give_up()
    [row] = await scene.deliveries(endpoint.id)
    assert (row.status, row.last_error) == ("exhausted", "the webhook is disabled")


async def test_a_deleted_webhook_goes_after_its_deliveries_in_bounded_steps(sessions):
    scene = await Scene.make(sessions)
    deleted, other = [await scene.endpoint("http://127.0.0.1:9/") for _ in range(2)]
    for _ in range(5):
        await scene.event()
    async with transaction(sessions) as session:
        await WebhookFanOut(session).fan_out(limit=10)
        (await session.get_one(WebhookEndpoint, deleted.id)).status = DELETED
    async with transaction(sessions) as session:
        assert await SweepingRepository(session).deliveries_of_deleted(limit=2) == 2
        assert await SweepingRepository(session).deleted_webhooks(limit=10) == 0, "it goes last"
    assert await EventRetention(sessions, batch=2).forget_deleted() == 3
    async with transaction(sessions) as session:
        assert await session.get(WebhookEndpoint, deleted.id) is None
    assert len(await scene.deliveries(other.id)) == 5


async def test_nothing_is_sent_to_a_deleted_webhook(sessions):
    """Whether it waits for its first attempt, was asked for as a ping, or is retried."""
    scene = await Scene.make(sessions)
    endpoint = await scene.endpoint("http://127.0.0.1:9/")
    for _ in range(3):
        await scene.event()
    async with transaction(sessions) as session:
        await WebhookFanOut(session).fan_out(limit=10)
    first, ping, failed = await scene.deliveries(endpoint.id)
    async with transaction(sessions) as session:
        (await session.get_one(WebhookDelivery, ping.id)).trigger = "ping"
        retried = await session.get_one(WebhookDelivery, failed.id)
        retried.status, retried.attempts, retried.next_attempt_at = "failed", 1, now()
        (await session.get_one(WebhookEndpoint, endpoint.id)).status = DELETED
    async with transaction(sessions) as session:
        claims = WebhookClaims(session)
        claimed = await claims.claim({}, most=10, few=10, free=1000, window=None)
        assert not {first.id, ping.id} & {claim.delivery_id for claim in claimed}
        assert await claims.retry(failed.id, 2) is None
        handed = await claims.not_handed_over(limit=1000, overdue=timedelta(0))
        assert failed.id not in {row["id"] for row in handed}


async def test_very_much_that_waits_for_a_webhook_is_given_up_in_bounded_statements(sessions, monkeypatch):
    monkeypatch.setattr("storage.repositories.webhook_health.AT_ONCE", 2)
    scene = await Scene.make(sessions)
    endpoint, other = [await scene.endpoint("http://127.0.0.1:9/") for _ in range(2)]
    for _ in range(5):
        await scene.event()
    async with transaction(sessions) as session:
        await WebhookFanOut(session).fan_out(limit=10)
        await WebhookHealth(session).give_up(endpoint.id)
    assert {row.status for row in await scene.deliveries(endpoint.id)} == {"exhausted"}
    assert {row.status for row in await scene.deliveries(other.id)} == {"pending"}
