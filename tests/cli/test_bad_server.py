"""What stands between a user and the API: a clear message, what to do, the right exit code, and an end."""

import json

import pytest

from tests.cli.misbehaving import PAGE, certificate_of, error, running, said

KEY = "sk-live_" + "a" * 38


@pytest.fixture
def whoami(delivery, monkeypatch):
    def ask(address, *more):
        monkeypatch.setenv("DELIVERY_URL", address)
        monkeypatch.setenv("DELIVERY_API_KEY", KEY)
        return delivery("whoami", *more)

    return ask


def checked(answer, code, *words):
    assert answer.code == code, answer
    assert answer.out == ""
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.err, answer.err
    assert KEY not in answer.err
    return answer


def test_nobody_listens(whoami, free_port):
    checked(whoami(f"http://127.0.0.1:{free_port()}"), 5, "cannot reach the server", "is it running")


def test_a_host_that_does_not_exist(whoami):
    checked(whoami("https://no-such-host.invalid"), 5, "cannot reach the server")


def test_a_wrong_certificate(whoami, delivery, tmp_path):
    with running(said(200, b"{}"), certificate_of(tmp_path, "localhost")) as server:
        address = f"https://localhost:{server.port}"
        checked(whoami(address), 5, "certificate is not trusted", "SSL_CERT_FILE")
        checked(delivery("login", address, "--no-browser"), 5, "certificate", "SSL_CERT_FILE")
    assert server.requests == []


def test_tls_where_there_is_none(whoami, delivery):
    with running(said(200, b"{}")) as server:
        checked(whoami(f"https://127.0.0.1:{server.port}"), 5, "cannot reach the server")
        checked(delivery("login", f"https://127.0.0.1:{server.port}", "--no-browser"), 5, "no TLS")


@pytest.mark.parametrize("status", [200, 403, 502])
def test_a_proxy_that_answers_html(whoami, delivery, status):
    with running(said(status, PAGE, "text/html")) as server:
        address = f"http://127.0.0.1:{server.port}"
        answer = checked(whoami(address), 5 if status != 403 else whoami(address).code)
        assert "proxy" in answer.err.lower() or "502" in answer.err
        checked(delivery("login", address, "--no-browser"), 5, str(status))
    assert len(server.requests) < 20


def test_an_answer_that_is_cut(whoami, delivery):
    with running(said(200, b'{"success": true, "data": {"subject": "ada"}}', short=20)) as server:
        checked(whoami(f"http://127.0.0.1:{server.port}"), 5)
        checked(delivery("login", f"http://127.0.0.1:{server.port}", "--no-browser"), 5)
    assert len(server.requests) < 10


def test_an_answer_that_is_no_envelope(whoami):
    with running(said(200, b'{"hello": "world"}')) as server:
        checked(whoami(f"http://127.0.0.1:{server.port}"), 5, "something else than the API answered")


def test_429_for_an_hour_ends_at_once(whoami):
    with running(said(429, error("RATE_LIMIT_EXCEEDED", "too many"), headers={"Retry-After": "3600"})) as server:
        answer = checked(whoami(f"http://127.0.0.1:{server.port}"), 1, "too many", "3600")
        told = json.loads(whoami(f"http://127.0.0.1:{server.port}", "--json").err)["error"]
    assert (told["retryable"], told["status"], told["retry_after"], told["exit_code"]) == (True, 429, 3600, 1)
    assert len(server.requests) == 2, answer


def test_a_wrong_key(whoami):
    with running(said(401, error("AUTHENTICATION_FAILED", "this key is not known"))) as server:
        answer = checked(
            whoami(f"http://127.0.0.1:{server.port}"), 1, "this key is not known", "`delivery login`", "req-7"
        )
    assert "clock" not in answer.err


@pytest.mark.parametrize("skew", [600, -600])
def test_a_clock_that_is_ten_minutes_off_is_told_where_a_token_is_refused(whoami, skew):
    with running(said(401, error("AUTHENTICATION_FAILED", "the token is not valid"), skew=skew)) as server:
        checked(whoami(f"http://127.0.0.1:{server.port}"), 1, "min", "apart: set the clock")


def test_a_server_that_is_down_for_a_while(whoami):
    with running(said(503, error("SERVICE_UNAVAILABLE", "the database is away"))) as server:
        told = json.loads(whoami(f"http://127.0.0.1:{server.port}", "--json").err)["error"]
    assert (told["exit_code"], told["retryable"], told["code"]) == (5, True, "SERVICE_UNAVAILABLE")
    assert len(server.requests) == 3, "two retries"


def test_a_stranger_behind_the_address_of_a_login(delivery):
    """An OAuth server that names an endpoint that is none of the web's."""
    metadata = {"issuer": "x", "authorization_endpoint": "http://x/a", "token_endpoint": "file:///etc/passwd"}
    with running(said(200, json.dumps(metadata).encode())) as server:
        answer = delivery("login", f"http://127.0.0.1:{server.port}", "--no-browser")
    checked(answer, 5, "file:///etc/passwd is no address of a web server")


def test_no_server_and_no_login(delivery, monkeypatch):
    checked(delivery("status"), 2)
    checked(delivery("whoami"), 2, "which server?", "delivery login")
    monkeypatch.setenv("DELIVERY_URL", "http://127.0.0.1:9")
    checked(delivery("whoami"), 2, "not logged in", "delivery login http://127.0.0.1:9")
