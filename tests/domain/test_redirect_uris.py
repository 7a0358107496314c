"""Redirect URIs: which ones are the same."""

import pytest

from domain.redirect_uris import is_same_but_for_the_port

KNOWN = "http://127.0.0.1:8976/callback"


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (KNOWN, "http://127.0.0.1:1/callback"),
        (KNOWN, "http://127.0.0.1:65535/callback"),
        (KNOWN, "http://127.0.0.1/callback"),
        ("http://127.0.0.1/callback", KNOWN),
        ("http://127.0.0.1/cb?a=1", "http://127.0.0.1:5000/cb?a=1"),
        ("http://127.0.0.1", "http://127.0.0.1:5000"),
        ("http://[::1]:8976/cb", "http://[::1]:5000/cb"),
    ],
)
def test_any_port_of_the_loopback_address(known, given):
    assert is_same_but_for_the_port(known, given)


@pytest.mark.parametrize(
    "given",
    [
        "http://127.0.0.1:5000/callback/",
        "http://127.0.0.1:5000/callback?x=1",
        "http://127.0.0.1:5000/Callback",
        "http://127.0.0.1:5000/callback#x",
        "http://127.0.0.1:5000/callback\n",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:-1/callback",
        "http://127.0.0.1:\u0665/callback",
        "http://127.0.0.1:5000@evil.example.com/callback",
        "http://127.0.0.1:5000.evil.example.com/callback",
        "http://127.0.0.1.evil.example.com/callback",
        "http://127.0.0.2:5000/callback",
        "http://127.1:5000/callback",
        "http://[::1]:5000/callback",
        "http://localhost:5000/callback",
        "https://127.0.0.1:5000/callback",
        "HTTP://127.0.0.1:5000/callback",
        "",
    ],
)
def test_nothing_else_than_the_port(given):
    assert not is_same_but_for_the_port(KNOWN, given)


@pytest.mark.parametrize(
    ("known", "given"),
    [
        ("https://app.example.com/cb", "https://app.example.com:8443/cb"),
        ("http://localhost:1/cb", "http://localhost:2/cb"),
    ],
)
def test_other_hosts_have_the_port_that_was_registered(known, given):
    assert not is_same_but_for_the_port(known, given)
