"""When deliveries are tried again, and which addresses are accepted."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import spelled_address
from domain.errors import CallerError
from domain.events import EventType
from domain.webhook_urls import check_url, parse_ports
from domain.webhooks import (
    GIVEN_UP_AFTER,
    LONGEST_ASKED,
    RETRIES_S,
    WebhookEvent,
    is_given_up,
    parse_retry_after,
    pause,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_schedule_is_the_one_of_the_resolutions():
    waits = [pause(number, 0.5) for number in range(1, 11)]
    hours = [timedelta(hours=h) for h in (2, 5, 10, 14, 20, 24)]
    assert waits == [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), *hours, None]


@given(st.integers(1, len(RETRIES_S)), st.floats(0, 1), st.none() | st.timedeltas(timedelta(), timedelta(days=90)))
def test_a_pause_is_near_the_schedule_and_never_less_than_asked(attempts, chance, asked):
    wait = pause(attempts, chance, asked)
    planned = timedelta(seconds=RETRIES_S[attempts - 1])
    assert planned * 0.89 <= wait <= max(planned * 1.11, LONGEST_ASKED)
    assert wait >= min(asked or timedelta(), LONGEST_ASKED)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(minutes=2)),
        (" 0 ", timedelta()),
        ("Fri, 02 Jan 2026 03:05:05 GMT", timedelta(minutes=1)),
        ("Fri, 02 Jan 2026 03:00:00 GMT", timedelta()),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("99999999999999999999", None),
        ("Fri, 02 Jan 99999999999999999999 03:05:05 GMT", None),
        ("Fri, 02 Jan 2026 03:05:05 +99999999999999999999", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, wait):
    assert parse_retry_after(value, NOW) == wait


def test_an_endpoint_is_given_up_after_five_days():
    assert not is_given_up(None, NOW)
    assert not is_given_up(NOW - GIVEN_UP_AFTER + timedelta(seconds=1), NOW)
    assert is_given_up(NOW - GIVEN_UP_AFTER, NOW)


REFUSED = [
    "ftp://example.com/",
    "//example.com/",
    "javascript:alert(1)",
    "https://",
    "https:///path",
    "https://user:secret@example.com/",
    "https://user@example.com/",
    "https://example.com/#part",
    "https://exam ple.com/",
    "https://example.com\\@127.0.0.1/",
    "https://bücher.example/",
    "https://example.com:99999/",
    "https://example.com:0/",
    "https://example.com:x/",
    "https://example.com:22/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://api.localhost/",
    "http://127.0.0.1/",
    "http://10.1.2.3/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00::1]/",
    "http://[fe80::1]/",
    "https://example.com/" + "a" * 2048,
]


@pytest.mark.parametrize("url", REFUSED)
def test_addresses_that_must_not_be_sent_to_are_refused(url):
    with pytest.raises(CallerError):
        check_url(url, ports=frozenset({80, 443, 8443}), networks=())


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hooks?token=a%20b",
        "http://example.com",
        "https://example.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://hooks_1.example.com/",
        "http://93.184.216.34/",
        "http://[2606:4700::1111]:443/",
    ],
)
def test_public_addresses_are_accepted(url):
    check_url(url, ports=frozenset({80, 443, 8443}), networks=())


def test_named_networks_and_any_port_open_what_is_named():
    check_url("http://127.0.0.1:9999/", ports=None, networks=[ip_network("127.0.0.0/8")])
    with pytest.raises(CallerError):
        check_url("http://10.0.0.1:9999/", ports=None, networks=[ip_network("127.0.0.0/8")])


def test_every_spelling_of_an_address_is_that_address():
    for text in ("127.0.0.1", "2130706433", "0x7f000001", "0177.1", "127.1"):
        assert spelled_address(text) == ip_address("127.0.0.1"), text
    assert spelled_address("example.com") is None


def test_ports():
    assert parse_ports("443, 80") == {80, 443}
    assert parse_ports("any") is None
    for bad in ("", "0", "65536", "http", "80;443"):
        with pytest.raises(ValueError, match=r"."):
            parse_ports(bad)


def test_every_event_that_happens_can_be_asked_for():
    assert set(WebhookEvent) - {WebhookEvent.ANY} == set(EventType)
