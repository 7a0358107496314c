"""The Python SDK's core, without a server: what it refuses, what it reads, what it never shows."""

import ast
import asyncio
import base64
import hashlib
import hmac
import inspect
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import ai_agents
import pytest
from ai_agents import AsyncClient, Client, models, webhooks
from ai_agents._credentials import Lease
from ai_agents._retries import Tries, retry_after
from ai_agents._sse import Event, Events
from ai_agents._urls import path_of, server_root
from standardwebhooks import Webhook

from sdks.generate.languages import SDKS

SOURCES = SDKS / "python" / "src" / "ai_agents"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# The example of Standard Webhooks' own libraries.
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = '{"test": 2432232314}'


def public(folder: str) -> dict[str, set[str]]:
    """By class and method, its arguments; the twins' names made equal."""
    found = {}
    for path in sorted((SOURCES / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                name = f"{path.name}:{node.name.removeprefix('Async')}"
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
                        arguments = [*method.args.args, *method.args.kwonlyargs]
                        found[f"{name}.{method.name}"] = {one.arg for one in arguments}
    return found


def test_the_twins_have_the_same_methods_with_the_same_arguments():
    found = public("_async")
    assert found == public("_sync")
    assert len(found) > 180


def test_each_method_of_the_async_twin_says_that_it_is_to_be_awaited_or_iterated():
    client = AsyncClient(base_url="https://api.example.com", api_key="k")
    lines = {"events", "export", "export_platform"}
    for name in dir(type(client)):
        resource = getattr(client, name) if not name.startswith("_") and name != "close" else None
        for method in dir(resource) if hasattr(resource, "_transport") else ():
            if method.startswith(("_", "follow_")) or method in {"verify", "with_raw_response", *lines}:
                continue
            assert inspect.iscoroutinefunction(getattr(resource, method)), f"{name}.{method}"


@pytest.mark.parametrize(
    "address", ["", "api.example.com", "ftp://a", "https://", "http://u:p@a", "http://a/?q", "http://a:99999"]
)
def test_what_is_no_address_is_refused(address, monkeypatch):
    monkeypatch.delenv("AI_AGENTS_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="base_url"):
        Client(base_url=address, api_key="k")


def test_addresses_with_and_without_version_and_slash_are_one():
    forms = ("http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", " http://h:1/v1\n")
    assert {server_root(one) for one in forms} == {"http://h:1"}
    assert server_root("https://h/prefix/v1/") == "https://h/prefix"


def test_values_of_a_path_are_encoded_and_those_that_get_lost_refused():
    assert path_of("/a/{x}/b", {"x": "a/b ?#%ü~"}) == "/a/a%2Fb%20%3F%23%25%C3%BC~/b"
    for value in ("", " ", ".", "..", None):
        with pytest.raises(ValueError, match=r"^x "):
            path_of("/a/{x}", {"x": value})


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "a", "token": "b"},
        {"api_key": "a", "client_id": "b", "client_secret": "c"},
        {"client_secret": "c"},
        {"client_id": "c"},
        {"refresh_token": "c"},
        {"api_key": "a\nb"},
        {"api_key": "schlüssel"},
        {"api_key": "k", "timeout": 0},
        {"api_key": "k", "max_retries": -1},
        {"api_key": "k", "default_headers": {"X": "a\r\nY: b"}},
    ],
)
def test_arguments_that_cannot_be_are_refused_and_no_secret_is_shown(given):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - each says its own
        Client(base_url="https://a", **given)
    assert "schlüssel" not in str(caught.value)


def test_the_line_end_of_a_keys_file_is_no_part_of_it():
    assert Client(base_url="https://a", api_key="k\n")._transport.credentials.api_key == "k"


def test_a_misspelled_option_and_a_time_without_its_zone_are_refused():
    client = Client(base_url="https://a", api_key="k")
    with pytest.raises(TypeError, match="time_out"):
        client.projects.get("p", time_out=3)
    with pytest.raises(TypeError, match="idempotency_key"):
        client.projects.get("p", idempotency_key="k")
    with pytest.raises(ValueError, match="time zone"):
        client.audit_log.list("o", since=datetime(2026, 1, 1))  # noqa: DTZ001 - it is to be refused


def test_no_secret_is_in_a_repr():
    secret = "very-secret-indeed"
    for given in (
        {"api_key": secret},
        {"token": secret},
        {"client_id": "c", "client_secret": secret},
        {"client_id": "c", "refresh_token": secret},
    ):
        client = Client(base_url="https://a", default_headers={"X-Own": secret}, **given)
        assert secret not in f"{client!r} {client._transport.credentials!r} {client._transport.credentials.grant!r}"
    assert secret not in repr(models.IssuedApiKey.of({"id": "1", "key": secret}))
    assert secret not in repr(ai_agents.Tokens(secret, secret))


def test_retry_after_is_seconds_or_a_date_by_the_servers_own_clock():
    assert retry_after({"retry-after": "7"}) == 7
    date, later = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:09 GMT"
    assert retry_after({"retry-after": later, "date": date}) == 9
    assert retry_after({"retry-after": date, "date": later}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_429_for_an_hour_is_the_callers_at_once_and_a_short_one_ends():
    tries = Tries(2)
    hour = ai_agents.RateLimitError("", status=429, retry_after=3600)
    assert tries.pause(hour) is None
    second = ai_agents.RateLimitError("", status=429, retry_after=1)
    assert [round(pause) if (pause := tries.pause(second)) is not None else None for _ in range(3)] == [1, 1, None]


def test_a_refresh_that_may_have_arrived_is_not_sent_again():
    broken = ai_agents.APIConnectionError("cut")
    unsent = ai_agents.APIConnectionError("refused", unsent=True)
    assert Tries(2).pause(broken, once=True) is None
    assert Tries(2).pause(unsent, once=True) is not None


def test_the_life_of_a_token_is_measured_here(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("ai_agents._credentials.time.monotonic", lambda: now[0])
    hour, short = Lease(3600), Lease(10)
    now[0] += 9.5
    assert (hour.is_over, short.is_over) == (False, True)
    now[0] += 3600 - 9.5 - 60
    assert hour.is_over


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_they_are_cut(size):
    stream = (
        '\ufeffretry: 1500\r\n\r\n: a comment\nid: 1\nevent: progress\ndata: {"a":\ndata: 1}\n\n'
        "data: zürich\r\rid: 2\nevent: log\n\ndata\n\nid\ndata:x\n\ndata: never whole\n"
    ).encode()
    events = Events()
    found = [event for at in range(0, len(stream), size) for event in events.feed(stream[at : at + size])]
    assert found == [
        Event("progress", '{"a":\n1}', "1"),
        Event("message", "zürich", "1"),
        Event("message", "", "2"),
        Event("message", "x", ""),
    ]
    assert events.retry_s == 1.5


def test_what_a_newer_or_older_server_answers_is_kept():
    found = models.Project.of(
        {
            "id": "1",
            "slug": None,
            "status": "dreaming",
            "tech_stack": "python",
            "created_at": "2026-03-01T10:00:00+02:00",
            "mood": {"colour": "blue"},
        }
    )
    assert (found.slug, found.name, found.status, found.tech_stack) == (None, None, "dreaming", "python")
    assert found.created_at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert found.mood == {"colour": "blue"}
    timeline = models.Operation.of({"operation_id": "o", "steps": [{"name": "build"}, {"name": 7, "status": "done"}]})
    assert [(step.name, step.status) for step in timeline.steps] == [("build", None), (7, "done")]


def test_the_vector_of_standard_webhooks():
    event = webhooks.verify(BODY, VECTOR, SECRET, now=1614265330)
    assert event.test == 2432232314
    assert webhooks.verify(
        BODY.encode(), {k.title(): v for k, v in VECTOR.items()}, ["whsec_AAAA", SECRET], now=1614265630
    )


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_off_by_ten_minutes_is_told_and_can_be_allowed(minutes):
    now = 1614265330 + minutes * 60
    with pytest.raises(ai_agents.WebhookVerificationError, match=r"600 s .*300 are allowed: is this clock right"):
        webhooks.verify(BODY, VECTOR, SECRET, now=now)
    assert webhooks.verify(BODY, VECTOR, SECRET, now=now, tolerance=900)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "neither"),
        ({**VECTOR, "webhook-id": ""}, "webhook-id is missing"),
        ({**VECTOR, "webhook-timestamp": "soon"}, "no number"),
        ({**VECTOR, "webhook-timestamp": "1614265331"}, "no signature is right"),
        (
            {**VECTOR, "webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,ü"},
            "no signature is right",
        ),
        ({"X-Signature-256": "sha256=00"}, "X-Signature-256 is not right"),
    ],
)
def test_what_is_no_webhook_of_ours_is_refused(headers, words):
    with pytest.raises(ai_agents.WebhookVerificationError, match=words):
        webhooks.verify(BODY, headers, SECRET, now=1614265330)


def test_webhooks_as_another_library_and_as_the_contract_sign_them():
    body = json.dumps(
        {"event": "ping", "event_id": "1", "timestamp": "2026-01-01T00:00:00Z", "retry_count": 0, "data": {}}
    )
    moment = datetime.now(UTC)
    signature = Webhook(SECRET).sign("m", moment, body)
    headers = {"webhook-id": "m", "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": signature}
    assert isinstance(webhooks.verify(body, headers, SECRET), models.PingEvent)
    ours = "sha256=" + hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    assert isinstance(webhooks.verify(body, {"X-Signature-256": ours}, SECRET), models.PingEvent)
    unknown = body.replace('"ping"', '"moon.rose"')
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = hmac.new(key, f"m.1.{unknown}".encode(), hashlib.sha256).digest()
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": "1",
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    }
    found = webhooks.verify(unknown, headers, SECRET, now=1)
    assert (type(found), found.event) == (models.UnknownEvent, "moon.rose")


class Issuer(BaseHTTPRequestHandler):
    """Gives tokens, and refuses those that it has been told to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.issued += 1
        self.reply(200, {"access_token": f"t{self.server.issued}", "expires_in": 3600})

    def do_GET(self):
        bad = self.headers["Authorization"] == "Bearer t1" and self.server.expired
        error = {"success": False, "error": {"code": "AUTHENTICATION_FAILED", "message": "expired"}}
        self.reply(*((401, error) if bad else (200, {"data": {"id": "p", "name": self.headers["Authorization"]}})))

    def reply(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_): ...


@pytest.fixture
def issuer():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    server.issued, server.expired = 0, False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_threads_fetch_one_token_together_and_one_more_when_it_is_refused(issuer):
    address = f"http://127.0.0.1:{issuer.server_port}"
    with Client(base_url=address, client_id="c", client_secret="s") as client, ThreadPoolExecutor(8) as threads:
        names = {one.name for one in threads.map(client.projects.get, "abcdefgh")}
        assert (names, issuer.issued) == ({"Bearer t1"}, 1)
        issuer.expired = True
        names = {one.name for one in threads.map(client.projects.get, "abcdefgh")}
        assert (names, issuer.issued) == ({"Bearer t2"}, 2)


async def test_tasks_fetch_one_token_together_and_one_more_when_it_is_refused(issuer):
    address = f"http://127.0.0.1:{issuer.server_port}"
    async with AsyncClient(base_url=address, client_id="c", client_secret="s") as client:
        for expired, token in ((False, "t1"), (True, "t2")):
            issuer.expired = expired
            found = await asyncio.gather(*map(client.projects.get, "abcdefgh"))
            assert {one.name for one in found} == {f"Bearer {token}"}
    assert issuer.issued == 2


@pytest.mark.deep
def test_figures_are_printed_by_one_command():
    words = [sys.executable, SDKS / "python" / "figures.py"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    sys.stdout.write(done.stdout)
    assert "the wheel: " in done.stdout
    assert "with a client: " in done.stdout
