"""Private repositories behind real servers: git's own over https with a password, and the real ssh with a key."""

import base64
import datetime as dt
import hashlib
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from domain.errors import DeliveryError, ErrorCode
from drivers.sources.base import GitCredentials, SourceRequest
from drivers.sources.git import GitSource
from drivers.sources.known_hosts import PUBLISHED
from tests.drivers.sources.git_server import Seen, serve_repositories
from tests.drivers.sources.ssh_server import SshServer, openssh, serve_ssh
from tests.drivers.sources.test_git_source import Repository

TOKEN = "ghs-9f3c2planted1a7token"
BASIC = base64.b64encode(f"ann:{TOKEN}".encode()).decode()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "served" / "shop")
    made.commit(app="one")
    return made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """Of an authority of its own, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def private(repository, certificate, seen, monkeypatch) -> Iterator[str]:
    """The base URL of an https server that wants a password; git trusts its authority."""
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate[0]))
    root = repository.folder.parent
    with serve_repositories(root, credential=f"ann:{TOKEN}", tls=certificate[1], seen=seen) as base:
        yield base


@pytest.fixture
def source() -> GitSource:
    return GitSource(allow_file=False, allow_private=True, timeout_s=120)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "work space" / "tree"


def with_token(base: str, **changes: str) -> GitCredentials:
    return GitCredentials(**{"token_host": base.rpartition("/")[2], "user": "ann", "token": TOKEN, **changes})


async def failing(source, into, url, credentials) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await source.fetch(SourceRequest(url, credentials=credentials), into)
    assert caught.value.__cause__ is not caught.value  # Temporal would follow its causes for ever
    return caught.value


def traces(*words: bytes) -> list[str]:
    """Processes that show one of the words in their command line or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (folder / name).read_bytes()
            except OSError:
                continue
            if any(word in text for word in words):
                found.append(f"{folder} {name}")
    return found


async def test_a_token_opens_a_repository_over_https_and_is_nowhere_to_be_seen(source, into, private, seen, tmp_path):
    found: list[str] = []
    helpers: list[str] = []

    def watch() -> None:
        found.extend(traces(TOKEN.encode(), BASIC.encode()))
        helpers.extend(traces(b"DELIVERY_GIT_CREDENTIAL"))
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        found.extend(str(path) for path in files if TOKEN.encode() in path.read_bytes())

    seen.watch = watch
    fetched = await source.fetch(SourceRequest(f"{private}/shop/.git", credentials=with_token(private)), into)
    assert (fetched.branch, (into / "app").read_text()) == ("main", "one")
    assert {given for _, given in seen.requests} == {None, f"Basic {BASIC}"}
    assert helpers, "nobody looked while git was running"
    assert found == []


async def test_without_a_token_or_with_a_wrong_one_there_is_no_such_repository(source, into, private):
    for credentials in (GitCredentials(), with_token(private, token="other")):
        error = await failing(source, into, f"{private}/shop/.git", credentials)
        assert error.code is ErrorCode.SOURCE_NOT_FOUND
        assert "git_https_token" in error.message


async def test_a_token_is_not_sent_to_another_host(source, into, private, seen):
    for host in ("git.example.com", "127.0.0.1", "127.0.0.1:1"):
        error = await failing(source, into, f"{private}/shop/.git", with_token(private, token_host=host))
        assert f"https://{host} alone" in error.message
    assert {given for _, given in seen.requests} == {None}


async def test_a_token_opens_plain_http_on_this_machine(source, into, repository, seen):
    with serve_repositories(repository.folder.parent, credential=f"ann:{TOKEN}", seen=seen) as base:
        await source.fetch(SourceRequest(f"{base}/shop/.git", credentials=with_token(base)), into)
    assert (into / "app").read_text() == "one"


async def test_a_certificate_nobody_vouches_for_gets_no_token(source, into, private, seen, monkeypatch):
    monkeypatch.delenv("GIT_SSL_CAINFO")
    await failing(source, into, f"{private}/shop/.git", with_token(private))
    assert seen.requests == []


@pytest.fixture
def ssh(repository) -> Iterator[SshServer]:
    with serve_ssh(repository.folder.parent) as server:
        yield server


def ssh_url(server: SshServer) -> str:
    return f"ssh://git@127.0.0.1:{server.port}/shop/.git"


async def test_a_key_opens_a_repository_over_ssh(source, into, ssh, tmp_path):
    text = ssh.private_key.strip().replace("\n", "\r\n")  # as it comes out of a form
    credentials = GitCredentials(ssh_key=text, known_hosts=ssh.known_hosts)
    fetched = await source.fetch(SourceRequest(ssh_url(ssh), credentials=credentials), into)
    assert (fetched.branch, (into / "app").read_text()) == ("main", "one")
    assert [path.name for path in into.parent.iterdir()] == ["tree"]


async def test_host_keys_of_the_operator_count_too(into, ssh, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(ssh.known_hosts)
    source = GitSource(allow_file=False, allow_private=True, known_hosts=known)
    await source.fetch(SourceRequest(ssh_url(ssh), credentials=GitCredentials(ssh_key=ssh.private_key)), into)
    assert (into / "app").read_text() == "one"


async def test_a_host_key_that_is_unknown_or_another_one_is_refused(source, into, ssh):
    other = ssh.known_hosts.rpartition(" ")[0] + " " + PUBLISHED[0][1]
    for known_hosts in ("", other):
        credentials = GitCredentials(ssh_key=ssh.private_key, known_hosts=known_hosts)
        error = await failing(source, into, ssh_url(ssh), credentials)
        assert error.code is ErrorCode.SOURCE_FORBIDDEN
        assert "ssh_known_hosts" in error.message


async def test_no_key_or_a_strangers_key_opens_nothing(source, into, ssh):
    for key in ("", openssh(Ed25519PrivateKey.generate())):
        credentials = GitCredentials(ssh_key=key, known_hosts=ssh.known_hosts)
        error = await failing(source, into, ssh_url(ssh), credentials)
        assert error.code is ErrorCode.SOURCE_NOT_FOUND
        assert "git_ssh_key" in error.message


@pytest.mark.parametrize(("host", "key", "fingerprint"), PUBLISHED)
def test_built_in_host_keys_have_the_fingerprints_that_are_published(host, key, fingerprint):
    digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
    assert base64.b64encode(digest).decode().rstrip("=") == fingerprint, host


def test_credentials_do_not_show_when_printed(private):
    shown = repr(SourceRequest("x", credentials=with_token(private, ssh_key="KEY")))
    assert TOKEN not in shown
    assert "KEY" not in shown
