"""Webhooks over the API: made, changed, pinged, rotated, replayed; what was sent is shown."""

import base64
from datetime import timedelta

import pytest
import standardwebhooks

from domain.permissions import Role
from domain.webhooks import DisabledReason
from runtime.encryption import load_sealer
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Event, WebhookEndpoint
from storage.repositories.events import EventRepository
from storage.repositories.webhook_fanout import WebhookFanOut
from storage.repositories.webhook_health import WebhookHealth
from tests.support import webhooks as support
from tests.support.receiver import Receiver, Reply

URL = "https://hooks.example.com/engine"


@pytest.fixture
async def admin(caller, world):
    return caller(Role.ADMIN, world.org["id"])


@pytest.fixture
async def own(platform, caller):
    """An organization of its own, its admin, and the path of its webhooks."""
    slug = f"w-{new_id().hex[-12:]}"
    org = await platform.made("/organizations", {"name": "Hooks", "slug": slug})
    return org["id"], caller(Role.ADMIN, org["id"]), f"/organizations/{org['id']}/webhooks"


async def happened(rows, org_id, kind="feature.created", **values):
    event_id = new_id()
    event = {"type": kind, "resource_type": "feature", "resource_id": new_id(), "payload": {"feature": {}}} | values
    async with transaction(rows) as session:
        await EventRepository(session).add(Event(id=event_id, organization_id=org_id, **event))
    return str(event_id)


async def test_a_webhook_is_made_and_its_secret_shown_once(own):
    _, admin, path = own
    made = await admin.made(path, {"url": URL, "events": ["build.completed", "build.completed"], "description": "CI"})
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    assert (made["status"], made["events"], made["description"]) == ("enabled", ["build.completed"], "CI")
    shown = (await admin.get(f"{path}/{made['id']}")).json()["data"]
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    listed = (await admin.get(path)).json()["data"]
    assert listed == [shown]
    assert (await admin.get(f"{path}?status=disabled")).json()["data"] == []


async def test_the_secret_is_stored_sealed(own, rows, settings):
    _, admin, path = own
    made = await admin.made(path, {"url": URL})
    async with transaction(rows) as session:
        row = await session.get_one(WebhookEndpoint, made["id"])
    assert made["secret"].encode() not in row.secret
    assert load_sealer(settings).open(row.secret, f"webhook:{row.id}").decode() == made["secret"]
    assert row.events == ["*"]


async def test_what_could_never_be_sent_to_is_refused(own):
    _, admin, path = own
    for url in ("http://127.0.0.1/", "http://169.254.169.254/", "https://a:b@example.com/", "https://example.com:22/"):
        answer = await admin.post(path, {"url": url})
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (400, "url"), url
    for body in (
        {"url": "ftp://example.com/"},
        {"url": URL, "events": []},
        {"url": URL, "events": ["feature.exploded"]},
        {"url": URL, "project_id": str(new_id())},
        {"url": URL, "secret": "mine"},
    ):
        assert (await admin.post(path, body)).status_code == 400, body
    made = await admin.made(path, {"url": URL})
    assert (await admin.patch(f"{path}/{made['id']}", {"url": "http://[::1]/"})).status_code == 400


async def test_an_organization_has_at_most_twenty(own):
    _, admin, path = own
    for _ in range(20):
        await admin.made(path, {"url": URL})
    answer = await admin.post(path, {"url": URL})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "QUOTA_EXCEEDED")


async def test_only_those_with_the_permission_may(world, caller, own):
    path = f"/organizations/{world.org['id']}/webhooks"
    developer, manager = caller(Role.DEVELOPER, world.org["id"]), caller(Role.RELEASE_MANAGER, world.org["id"])
    assert (await developer.get(path)).status_code == 403
    assert (await manager.get(path)).status_code == 200
    assert (await manager.post(path, {"url": URL})).status_code == 403
    _, admin, own_path = own
    assert (await admin.get(path)).status_code == 403
    made = await admin.made(own_path, {"url": URL})
    theirs = caller(Role.ADMIN, world.org["id"])
    assert (await theirs.get(f"{path}/{made['id']}")).status_code == 404


async def test_changing_disabling_and_enabling_again(own, rows):
    _, admin, path = own
    made = await admin.made(path, {"url": URL})
    at = f"{path}/{made['id']}"
    changed = (await admin.patch(at, {"url": URL + "/2", "events": ["ping.pong"]})).json()
    assert changed["status"] == 400
    changed = (await admin.patch(at, {"url": URL + "/2", "events": ["test.completed"]})).json()["data"]
    assert (changed["url"], changed["events"]) == (URL + "/2", ["test.completed"])
    disabled = (await admin.patch(at, {"status": "disabled"})).json()["data"]
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "by_request")
    assert disabled["disabled_at"] is not None
    enabled = (await admin.patch(at, {"status": "enabled"})).json()["data"]
    assert (enabled["status"], enabled["disabled_reason"], enabled["disabled_at"]) == ("enabled", None, None)
    async with transaction(rows) as session:
        assert await WebhookHealth(session).disable(made["id"], DisabledReason.FAILING)
    assert (await admin.get(at)).json()["data"]["disabled_reason"] == "failing"


async def test_a_deleted_webhook_is_gone_with_its_deliveries(own):
    _, admin, path = own
    made = await admin.made(path, {"url": URL})
    await admin.made(f"{path}/{made['id']}/ping", {})
    assert (await admin.http.delete(f"{path}/{made['id']}")).status_code == 204
    assert (await admin.get(f"{path}/{made['id']}")).status_code == 404
    assert (await admin.get(f"{path}/{made['id']}/deliveries")).status_code == 404


@pytest.fixture
async def arranged(own, rows, settings, monkeypatch):
    """A webhook that leads to a receiver of ours, and a relay to send with."""
    org_id, admin, path = own
    monkeypatch.setattr(support, "SEALER", load_sealer(settings))
    async with Receiver() as receiver:
        made = await admin.made(path, {"url": URL})
        async with transaction(rows) as session:
            (await session.get_one(WebhookEndpoint, made["id"])).url = receiver.url()
        yield receiver, made, support.Scene(rows, org_id)


async def test_a_ping_arrives_and_its_delivery_shows_everything(own, arranged, database_url):
    _, admin, path = own
    receiver, made, scene = arranged
    receiver.answer = lambda _: Reply(200, {"X-Seen": "yes"}, b"thank you")
    at = f"{path}/{made['id']}"
    answer = await admin.post(f"{at}/ping", {})
    assert answer.status_code == 201
    delivery = answer.json()["data"]
    assert (delivery["status"], delivery["event"], delivery["trigger"]) == ("pending", "ping", "ping")
    async with support.relay(scene.sessions, database_url):
        await scene.until(made["id"], "succeeded")
    [request] = receiver.received
    standardwebhooks.Webhook(made["secret"]).verify(request.body, dict(request.headers))
    assert request.content["data"]["webhook"]["id"] == made["id"]
    shown = (await admin.get(answer.headers["location"].partition("/v1")[2])).json()["data"]
    assert (shown["status"], shown["attempts"], shown["last_response_status"]) == ("succeeded", 1, 200)
    [attempt] = shown["history"]
    assert attempt["request"]["url"] == receiver.url()
    assert attempt["request"]["headers"]["Content-Type"] == "application/json"
    assert attempt["response"]["status"] == 200
    assert attempt["response"]["body"] == "thank you"
    assert attempt["response"]["headers"]["x-seen"] == "yes"
    assert made["secret"] not in str(shown)


async def test_a_ping_that_fails_is_not_tried_again_and_reaches_disabled_webhooks(own, arranged, database_url):
    _, admin, path = own
    receiver, made, scene = arranged
    receiver.answer = lambda _: Reply(500)
    await admin.patch(f"{path}/{made['id']}", {"status": "disabled"})
    await admin.made(f"{path}/{made['id']}/ping", {})
    async with support.relay(scene.sessions, database_url):
        [row] = await scene.until(made["id"], "exhausted")
    assert (row.attempts, row.last_error) == (1, "answered 500")


async def test_rotation_shows_a_new_secret_and_the_old_one_signs_for_a_day(own, arranged, database_url):
    org_id, admin, path = own
    receiver, made, scene = arranged
    rotated = (await admin.post(f"{path}/{made['id']}/rotate-secret", {})).json()["data"]
    assert rotated["secret"] != made["secret"]
    until = now() + timedelta(hours=24)
    assert abs((until - now().fromisoformat(rotated["previous_secret_until"])).total_seconds()) < 60
    await happened(scene.sessions, org_id)
    async with support.relay(scene.sessions, database_url):
        await scene.until(made["id"], "succeeded")
        at_once = await admin.post(f"{path}/{made['id']}/rotate-secret", {"overlap_seconds": 0})
        await happened(scene.sessions, org_id)
        await scene.until(made["id"], "succeeded", "succeeded")
    during, after = receiver.received
    for secret in (made["secret"], rotated["secret"]):
        standardwebhooks.Webhook(secret).verify(during.body, dict(during.headers))
    assert at_once.json()["data"]["previous_secret_until"] is None
    standardwebhooks.Webhook(at_once.json()["data"]["secret"]).verify(after.body, dict(after.headers))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(rotated["secret"]).verify(after.body, dict(after.headers))


async def test_deliveries_are_listed_filtered_and_delivered_again(own, arranged, database_url):
    org_id, admin, path = own
    receiver, made, scene = arranged
    receiver.answer = lambda request: Reply(500 if request.content["event"] == "build.completed" else 200)
    built = await happened(scene.sessions, org_id, "build.completed")
    created = await happened(scene.sessions, org_id, "feature.created")
    deliveries = f"{path}/{made['id']}/deliveries"
    async with support.relay(scene.sessions, database_url):
        await scene.until(made["id"], "failed", "succeeded")
        listed = (await admin.get(deliveries)).json()["data"]
        assert {one["event_id"] for one in listed} == {built, created}
        [failed] = (await admin.get(f"{deliveries}?status=failed")).json()["data"]
        [good] = (await admin.get(f"{deliveries}?event=feature.created")).json()["data"]
        assert (failed["event_id"], good["event_id"]) == (built, created)
        assert failed["next_attempt_at"] is not None
        first = (await admin.get(f"{deliveries}?page_size=1")).json()
        cursor = first["pagination"]["next_cursor"]
        second = (await admin.get(f"{deliveries}?page_size=1&cursor={cursor}")).json()
        assert [first["data"][0]["id"], second["data"][0]["id"]] == [one["id"] for one in listed]
        again = await admin.made(f"{deliveries}/{good['id']}/redeliver", {})
        assert (again["event_id"], again["trigger"], again["attempts"]) == (created, "redelivery", 0)
        await scene.until(made["id"], "failed", "succeeded", "succeeded")
    assert [request.headers["webhook-id"] for request in receiver.received].count(created) == 2
    await admin.patch(f"{path}/{made['id']}", {"status": "disabled"})
    refused = await admin.post(f"{deliveries}/{good['id']}/redeliver", {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_STATE")


async def test_a_replay_brings_back_what_was_missed_once_a_key(own, arranged, database_url):
    org_id, admin, path = own
    receiver, made, scene = arranged
    at = f"{path}/{made['id']}"
    await admin.patch(at, {"status": "disabled"})
    resource = new_id()
    begin = now()
    missed = [await happened(scene.sessions, org_id, resource_id=resource) for _ in range(5)]
    await happened(scene.sessions, org_id, "build.completed")
    async with transaction(scene.sessions) as session:
        await WebhookFanOut(session).fan_out(limit=100)
    body, key = {"since": begin.isoformat()}, {"Idempotency-Key": f"replay-{new_id()}"}
    refused = await admin.post(f"{at}/replay", body)
    assert refused.json()["error"]["code"] == "INVALID_STATE"
    await admin.patch(at, {"status": "enabled", "events": ["feature.created"]})
    assert (await admin.post(f"{at}/replay", {**body, "until": begin.isoformat()})).status_code == 400
    answers = [await admin.http.post(f"{at}/replay", json=body, headers=key) for _ in "ab"]
    assert [answer.json()["data"]["count"] for answer in answers] == [5, 5]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert (await admin.post(f"{at}/replay", body)).json()["data"]["count"] == 0  # all of them are under way
    async with support.relay(scene.sessions, database_url):
        await scene.until(made["id"], *["succeeded"] * 5)
    assert [request.content["event_id"] for request in receiver.received] == missed


async def test_a_replay_has_a_span(own):
    _, admin, path = own
    made = await admin.made(path, {"url": URL})
    moment = now()
    for body in (
        {"since": moment.isoformat(), "until": (moment - timedelta(seconds=1)).isoformat()},
        {"since": (moment - timedelta(days=31)).isoformat()},
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {},
    ):
        assert (await admin.post(f"{path}/{made['id']}/replay", body)).status_code == 400, body


async def test_a_key_makes_one_webhook(own):
    _, admin, path = own
    key = {"Idempotency-Key": f"hook-{new_id()}"}
    first, second = [await admin.http.post(path, json={"url": URL}, headers=key) for _ in "ab"]
    assert first.json()["data"] == second.json()["data"]
    assert (await admin.get(path)).json()["pagination"]["total"] == 1
