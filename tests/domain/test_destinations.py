"""Where other people's code may connect to, by name, number and port."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.destinations import DEFAULT_PORTS, Destination, Named, Ports, Rules, Verdict, plain_host
from runtime.settings import Settings

PUBLIC = "93.184.215.14"
OPEN = Rules()


def verdict(rules: Rules, host: str, *addresses: str, port: int = 443, listed: bool = False, own: str = "") -> Verdict:
    asked = Destination.parse(f"{host}:{port}")
    found = addresses or [str(asked.literal)]
    ours = {ip_address(own)} if own else set()
    return rules.judge(asked, found, (asked,) if listed else (), ours)


@pytest.mark.parametrize(
    "spelled",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
    ],
)
def test_a_number_is_judged_however_it_is_spelled(spelled: str) -> None:
    assert plain_host(spelled) == "127.0.0.1"
    assert verdict(OPEN, spelled) is Verdict.ADDRESS


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.1",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.8.9.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2002:7f00:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ],
)
def test_nothing_but_the_public_internet_is_reached(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    assert verdict(OPEN, literal) is Verdict.ADDRESS
    assert verdict(OPEN, "name.example", address) is Verdict.ADDRESS
    assert verdict(OPEN, "name.example", PUBLIC, address) is Verdict.ADDRESS, "one of several"


def test_the_public_internet_is_reached_but_for_mail() -> None:
    assert verdict(OPEN, "name.example", PUBLIC) is Verdict.ALLOWED
    assert verdict(OPEN, "name.example", PUBLIC, "2606:2800:21f:cb07::1", port=1) is Verdict.ALLOWED
    assert verdict(OPEN, "name.example", PUBLIC, port=25) is Verdict.PORT
    assert verdict(Rules(Ports.parse("")), "name.example", PUBLIC) is Verdict.PORT


def test_this_machine_is_not_reached_by_its_public_address() -> None:
    """Before a connection to oneself there is no firewall."""
    assert verdict(OPEN, "name.example", PUBLIC, own=PUBLIC) is Verdict.ADDRESS
    named = Rules.parse(ports=DEFAULT_PORTS, everybody=f"{PUBLIC}:443,name.example:8080", listed="")
    assert verdict(named, "name.example", PUBLIC, own=PUBLIC) is Verdict.ALLOWED
    assert verdict(named, "name.example", PUBLIC, own=PUBLIC, port=8080) is Verdict.ADDRESS, "by a name it is not meant"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "example.com:",
        "example.com:0",
        "example.com:65536",
        "example.com:+1",
        "example.com: 1",
        "example.com:1_0",
        ":443",
        "user@example.com:443",
        "::1:443",
        "[::1:443",
        "::1]:443",
        "[example.com]:443",
        "[fe80::1%eth0]:443",
        "exa mple.com:443",
        "ex\tample.com:443",
        "1.2.3.256:443",
        "x.0x1:443",
        "a..b:443",
        ".example.com:443",
        "-a.example:443",
        "bücher.example:443",
        "example.com\0.evil:443",
        "127.0.0.1 x:443",
        f"{'a' * 64}.example:443",
        f"{'a.' * 127}example:443",
        "example.com..:443",
        "*.example.com:443",
        "%31.example:443",
    ],
)
def test_what_is_no_destination_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Destination.parse(text)


def test_one_host_has_one_spelling() -> None:
    assert (
        Destination.parse("EXAMPLE.com.:443") == Destination.parse("example.COM:443") == Destination("example.com", 443)
    )
    assert str(Destination.parse("[2001:DB8::0:1]:443")) == "[2001:db8::1]:443"
    assert str(Destination.parse("[::ffff:8.8.8.8]:53")) == "8.8.8.8:53"


@given(st.integers(0, 2**32 - 1))
def test_every_number_has_one_spelling_and_one_verdict(number: int) -> None:
    address = ip_address(number)
    spellings = (str(address), str(number), hex(number), f"[::ffff:{address}]", f"{address}.")
    assert {plain_host(each) for each in spellings} == {str(address)}
    assert len({verdict(OPEN, each) for each in spellings}) == 1


def test_the_operator_names_networks_and_names() -> None:
    rules = Rules.parse(ports="443", everybody="10.1.0.0/16:8080-8081, mirror.internal:3128, [fd00::/8]", listed="")
    assert verdict(rules, "10.1.2.3", port=8081) is Verdict.ALLOWED
    assert verdict(rules, "10.1.2.3", port=8082) is Verdict.PORT
    assert verdict(rules, "10.2.2.3", port=443) is Verdict.ADDRESS
    assert verdict(rules, "[fd00::1]", port=9) is Verdict.ALLOWED
    assert verdict(rules, "mirror.internal", "10.9.9.9", port=3128) is Verdict.ALLOWED
    assert verdict(rules, "mirror.internal.", "10.9.9.9", port=3128) is Verdict.ALLOWED
    assert verdict(rules, "other.internal", "10.9.9.9", port=3128) is Verdict.PORT


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "169.254.169.254", "::", "::1", "fe80::1", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"),
        *("fd00:42::42", "fd00:a9fe:a9fe::1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
    ],
)
def test_a_name_of_the_operators_never_means_loopback_or_metadata(address: str) -> None:
    """Whoever gives out names (`*`) may be anybody."""
    rules = Rules.parse(ports="443", everybody="*,*.internal", listed="")
    assert verdict(rules, "db.internal", address) is Verdict.ADDRESS
    assert verdict(rules, "db.internal", "10.0.0.1") is Verdict.ALLOWED


def test_what_services_may_list_is_for_those_that_list_it() -> None:
    rules = Rules.parse(ports=DEFAULT_PORTS, everybody="", listed="*.db.internal:5432,127.0.0.1:25")
    for host, address, port in (("a.db.internal", "10.0.0.1", 5432), ("127.0.0.1", "127.0.0.1", 25)):
        assert verdict(rules, host, address, port=port, listed=True) is Verdict.ALLOWED
        assert verdict(rules, host, address, port=port) is not Verdict.ALLOWED
    assert verdict(rules, "db.internal", "10.0.0.1", port=5432, listed=True) is Verdict.ADDRESS
    assert verdict(rules, "a.db.internal", "10.0.0.1", port=5433, listed=True) is Verdict.ADDRESS
    assert verdict(rules, "db.example", PUBLIC, port=5432, listed=True) is Verdict.ALLOWED, "it is public"


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "db.*.internal", "a b", "host:", "host:0", "host:9-8", "[::1]x", "10.0.0", "!"]
)
def test_a_wrong_name_of_the_operators_stops_the_process(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Named.parse(text)
    for setting in ("code_egress", "service_egress"):
        with pytest.raises(ValueError, match=setting):
            Settings(**{setting: f"ok.internal:1,{text}"})


@pytest.mark.parametrize("text", ["any", "0", "1-", "-1", "65536", "5-4", "80;443"])
def test_wrong_ports_stop_the_process(text: str) -> None:
    with pytest.raises(ValueError, match="code_ports"):
        Settings(code_ports=text)
