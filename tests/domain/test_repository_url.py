"""Repository addresses, branch names and commit ids: what passes, and what never reaches git."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.addresses import is_public, is_reachable, parse_networks
from domain.errors import ErrorCode, TerminalError
from domain.repository_url import Scheme, check_branch, check_commit, parse_repository_url
from tests.support.deep import by_depth


def refused(url: str, **allowed: bool) -> str:
    with pytest.raises(TerminalError) as caught:
        parse_repository_url(url, **allowed)
    assert caught.value.code is ErrorCode.SOURCE_FORBIDDEN
    return caught.value.message + str(caught.value.details)


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "text"),
    [
        ("https://github.com/a/b.git", Scheme.HTTPS, "github.com", None, None),
        ("HTTPS://GitHub.com:8443/a", Scheme.HTTPS, "github.com", 8443, "https://GitHub.com:8443/a"),
        ("https://[2606:4700::1]/a", Scheme.HTTPS, "2606:4700::1", None, None),
        ("ssh://git@host:2222/a", Scheme.SSH, "host", 2222, None),
        ("git@github.com:a/b.git", Scheme.SSH, "github.com", None, None),
        ("http://10.0.0.1/a", Scheme.HTTP, "10.0.0.1", None, None),
        ("/srv/a b", Scheme.FILE, None, None, None),
        ("file:///srv/a%20b", Scheme.FILE, None, None, "/srv/a b"),
    ],
)
def test_accepted(url, scheme, host, port, text):
    found = parse_repository_url(url, allow_file=True, allow_private=True)
    assert (found.scheme, found.host, found.port, found.text) == (scheme, host, port, text or url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@host/a",
        "https://s3cret@host/a",
        "https://user:s3cret@host:x/a",
        "ssh://git:s3cret@host/a",
        "git:s3cret@host:a",
        "https://host/a?token=s3cret",
        "https://host/a#s3cret",
        "ftp://s3cret@host/a",
    ],
)
def test_credentials_are_refused_and_never_repeated(url):
    assert "s3cret" not in refused(url, allow_file=True, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        " https://host/a",
        "https://host/a\n",
        "https://host/a\x00",
        "-uhttps://host/a",
        "--upload-pack=x",
        "ext::sh -c x",
        "fd::17",
        "https::https://host/a",
        "git://host/a",
        "ftp://host/a",
        "https://",
        "https://host",
        "https://host/",
        "https:///a",
        "https://-oProxyCommand=x/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://-x@host/a",
        "-x@host:a",
        "host:-x",
        "https://ho st/a",
        "https://[::1/a",
        "https://host:99999/a",
        "file://host/a",
        "relative/folder",
        "x" * 3000,
        "https://host%0a/a",
    ],
)
def test_refused(url):
    refused(url, allow_file=False, allow_private=True)


def test_the_message_says_what_is_allowed():
    assert "'file' here; allowed are https://, ssh://" in refused("/srv/a")
    assert "allowed are https://, ssh://, http://, file://" in refused("ext::x", allow_file=True, allow_private=True)
    assert "'http' here" in refused("http://host/a")


BEGINNINGS = st.sampled_from(["", "https://", "HTTP://host/", "ssh://git@host/", "git@host:", "/", "file:///"])


@given(st.builds(str.__add__, BEGINNINGS, st.text(max_size=60)))
def test_any_text_is_accepted_whole_or_refused(text):
    try:
        found = parse_repository_url(text, allow_file=True, allow_private=True)
    except TerminalError:
        return
    assert not found.text.startswith("-")
    assert "::" not in found.text.split("/")[0] or found.scheme is Scheme.FILE
    assert found.text.lower() == text.lower() or found.scheme is Scheme.FILE


@given(st.text(alphabet="ab/.-@{~^:?*[\\ \x7flock", min_size=1, max_size=12))
@settings(max_examples=by_depth(short=25, long=100))
def test_what_we_accept_as_a_branch_git_accepts_too(name):
    try:
        short = check_branch(name)
    except TerminalError as error:
        assert error.code is ErrorCode.SOURCE_REF_NOT_FOUND  # noqa: PT017 - the other half is below
        return
    done = subprocess.run(["git", "check-ref-format", f"refs/heads/{short}"], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["main", "feature/a.b-c_1", "v1.0", "ünïcode", "a@b", "refs/heads/x"])
def test_branches(name):
    assert check_branch(name) == name


@pytest.mark.parametrize("commit", ["abc12", "g" * 40, "a" * 65, "HEAD", "main~1", "", "-abcdef0", "abcdef0\n"])
def test_what_is_no_commit_id(commit):
    with pytest.raises(TerminalError):
        check_commit(commit)


@pytest.mark.parametrize("commit", ["abc123", "ABC123", "a" * 40, "a" * 64])
def test_commit_ids_may_be_short_as_in_the_contracts_sdk_example(commit):
    assert check_commit(commit) == commit.lower()


PRIVATE = """
127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 192.0.2.1
198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 168.63.129.16 :: ::1 fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254
fec0::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1::
2001:0:1::1 2001:db8::1 100::1 nonsense 1.2.3 2606:4700::1%eth0
"""
PUBLIC = "8.8.8.8 1.1.1.1 140.82.121.4 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808"


@pytest.mark.parametrize("ip", PRIVATE.split())
def test_not_public(ip):
    assert not is_public(ip)


@pytest.mark.parametrize("ip", PUBLIC.split())
def test_public(ip):
    assert is_public(ip)


def test_named_private_networks_are_reachable_also_in_ipv6_clothes():
    allowed = parse_networks("10.1.0.0/16, fd00::/8")
    assert is_reachable("10.1.2.3", allowed)
    assert is_reachable("::ffff:10.1.2.3", allowed)
    assert is_reachable("fd00::1", allowed)
    assert is_reachable("1.1.1.1", ())
    assert not is_reachable("10.2.0.1", allowed)
    assert not is_reachable("::ffff:10.2.0.1", allowed)
    assert not is_reachable("localhost", allowed)
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/99"):
        parse_networks("10.0.0.0/99")
