import pytest

from api.http.client_ip import Addresses, network_of

PROXIES = "10.0.0.0/8, 2001:db8:ffff::/48"


def scope(peer: str | None, *forwarded: str) -> dict:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"client": None if peer is None else (peer, 1), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.1", ["198.51.100.1"], "203.0.113.1"),  # a stranger says what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),  # what a client made up stands left
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),  # several headers are one list
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["2001:db8::2"], "2001:db8::2"),
        (None, [], "unknown"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_proxy_of_ours(peer, forwarded, found):
    assert Addresses(PROXIES).of(scope(peer, *forwarded)) == found


def test_without_trusted_proxies_the_peer_is_the_client():
    assert Addresses().of(scope("10.0.0.1", "198.51.100.1")) == "10.0.0.1"


def test_an_ipv6_address_counts_with_its_network():
    assert network_of("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"
    assert network_of("203.0.113.1") == "203.0.113.1"
    assert network_of("unknown") == "unknown"
