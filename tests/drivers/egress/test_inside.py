"""What isolated code is told of its way out."""

import urllib.request
from pathlib import Path

import pytest

from domain.destinations import Destination
from drivers.egress import inside

DB, CACHE, TOO = Destination("db.internal", 5432), Destination("cache", 6379), Destination("db.internal", 5433)


def test_variables_of_the_proxy_are_set_in_both_cases_of_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    told = inside.environment({})
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        assert told[name] == told[name.lower()] == "http://127.0.0.1:3128"
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert urllib.request.getproxies()["https"] == "http://127.0.0.1:3128"
    assert urllib.request.proxy_bypass("localhost")
    assert urllib.request.proxy_bypass("127.0.0.1")
    assert not urllib.request.proxy_bypass("pypi.example")


def test_what_the_code_says_itself_goes_before() -> None:
    told = inside.environment({"https_proxy": "http://own:1", "JAVA_TOOL_OPTIONS": "-Xmx1g -Dhttps.proxyHost=own"})
    assert "https_proxy" not in told
    assert told["JAVA_TOOL_OPTIONS"].endswith(" -Xmx1g -Dhttps.proxyHost=own"), "the last one counts"


def test_each_listed_host_has_an_address_and_each_port_a_forward() -> None:
    assert inside.hosts((DB, CACHE, TOO)) == {"db.internal": "127.0.1.1", "cache": "127.0.1.2"}
    door = Path("/somewhere/door")
    made = inside.network(door, (DB, CACHE, TOO, DB), serves=80)
    assert (made.serves, made.hosts, made.proxied) == (80, inside.hosts((DB, CACHE)), True)
    assert [(each.address, each.port, each.asks) for each in made.forwards] == [
        ("127.0.0.1", 3128, ""),
        ("127.0.1.1", 5432, "db.internal:5432"),
        ("127.0.1.2", 6379, "cache:6379"),
        ("127.0.1.1", 5433, "db.internal:5433"),
    ]
    assert {each.socket for each in made.forwards} == {door / "proxy.sock"}
    assert inside.network(None).forwards == ()


def test_the_addresses_of_many_hosts_are_different_ones() -> None:
    listed = [Destination(f"host{number}.example", 1) for number in range(inside.MAX_HOSTS)]
    addresses = inside.hosts(listed).values()
    assert len(set(addresses)) == inside.MAX_HOSTS
    assert {address.rpartition(".")[0] for address in addresses} == {"127.0.1"}
    with pytest.raises(ValueError, match="at most 254"):
        inside.hosts([*listed, CACHE])
