"""Events go after thirty days, with their deliveries; what was not fanned out stays."""

from datetime import timedelta

from sqlalchemy import update

from events.event_sweep import EventSweep
from runtime.ids import now
from storage.engine import transaction
from storage.models import Event, WebhookEndpoint
from storage.repositories.webhook_fanout import WebhookFanOut
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
    assert await EventSweep(sessions, batch=1).sweep() == 2
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
    await EventSweep(sessions).give_up()
    [row] = await scene.deliveries(endpoint.id)
    assert (row.status, row.last_error) == ("exhausted", "the webhook is disabled")
