"""In production nothing starts with secrets of the embedded mode, open lines or open doors."""

import asyncio
import base64
import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import DependencyError
from runtime import startup_checks
from runtime.encryption import encryption_key_file, ensure_encryption_key
from runtime.files import PRIVATE, write_whole
from runtime.ids import now
from runtime.keys import ensure_key
from runtime.settings import ROOT, Mode, Settings
from runtime.stack.secrets import password
from runtime.temporal_access import tls_of

DATABASE = "postgresql+psycopg://delivery:{}@db.example.com/delivery"


def drawn() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings that may run in production, on a data folder that an embedded stack has used before."""
    folder = tmp_path_factory.mktemp("production")
    (folder / "secrets").mkdir()
    password(folder / "secrets", "postgres")
    ensure_encryption_key(encryption_key_file(Settings(data_dir=folder)))
    ensure_key(folder / "jwt.pem")
    write_whole(folder / "client.key", b"key", sync=False, mode=PRIVATE)
    return {
        "mode": Mode.PRODUCTION,
        "data_dir": folder,
        "public_url": "https://delivery.example.com",
        "jwt_issuer": "https://delivery.example.com",
        "jwt_private_key_file": folder / "jwt.pem",
        "database_url": DATABASE.format(secrets.token_hex(24)) + "?sslmode=verify-full",
        "encryption_keys": drawn(),
        "temporal_codec_keys": drawn(),
        "temporal_tls_cert_file": folder / "client.pem",
        "temporal_tls_key_file": folder / "client.key",
        "temporal_codec_origins": "https://temporal.example.com",
    }


def found(good: dict[str, Any], **changes: Any) -> list[str]:
    return startup_checks.faults(Settings(**{**good, **changes}), startup_checks.API)


def test_a_sound_configuration_starts(good):
    assert found(good) == []
    no_certificate = {"temporal_tls_cert_file": None, "temporal_tls_key_file": None}
    assert found(good, temporal_api_key="key", **no_certificate) == []
    assert found(good, temporal_codec_keys="", allow_plain_payloads=True) == []
    assert found(good, database_url="postgresql+psycopg://delivery@/delivery?host=/run/postgresql") == []
    plain = DATABASE.format(secrets.token_hex(24))
    assert found(good, database_url=plain, allow_plain_database=True) == []


SAME = drawn()
NO_CERTIFICATE = {"temporal_tls_cert_file": None, "temporal_tls_key_file": None}
FAULTS = {
    "no address": ({"public_url": ""}, "PUBLIC_URL"),
    "http address": ({"public_url": "http://delivery.example.com"}, "PUBLIC_URL"),
    "address of this machine": ({"public_url": "https://localhost:8080"}, "PUBLIC_URL"),
    "development issuer": ({"jwt_issuer": Settings().jwt_issuer}, "JWT_ISSUER"),
    "no signing key": ({"jwt_private_key_file": None}, "JWT_PRIVATE_KEY_FILE"),
    "no database": ({"database_url": ""}, "DATABASE_URL"),
    "short password": ({"database_url": DATABASE.format("postgres") + "?sslmode=require"}, "DATABASE_URL"),
    "simple password": ({"database_url": DATABASE.format("a" * 20) + "?sslmode=require"}, "DATABASE_URL"),
    "plain database": ({"database_url": DATABASE.format(secrets.token_hex(24))}, "ALLOW_PLAIN_DATABASE"),
    "database that may be plain": (
        {"database_url": DATABASE.format(secrets.token_hex(24)) + "?sslmode=prefer"},
        "ALLOW_PLAIN_DATABASE",
    ),
    "no sealing keys": ({"encryption_keys": " "}, "ENCRYPTION_KEYS"),
    "sealing keys that are none": ({"encryption_keys": "secret"}, "ENCRYPTION_KEYS"),
    "sealing keys of zeros": ({"encryption_keys": base64.b64encode(bytes(32)).decode()}, "ENCRYPTION_KEYS"),
    "no codec keys": ({"temporal_codec_keys": ""}, "ALLOW_PLAIN_PAYLOADS"),
    "codec keys that are none": ({"temporal_codec_keys": "x,y"}, "TEMPORAL_CODEC_KEYS"),
    "one key for both": ({"temporal_codec_keys": SAME, "encryption_keys": SAME}, "TEMPORAL_CODEC_KEYS"),
    "plain temporal": (NO_CERTIFICATE, "TEMPORAL_TLS_CERT_FILE"),
    "temporal that proves itself and lets anybody in": (
        {**NO_CERTIFICATE, "temporal_tls": True},
        "TEMPORAL_TLS_CERT_FILE",
    ),
    "the same with a CA of our own": (
        {**NO_CERTIFICATE, "temporal_tls_ca_file": Path("/etc/ssl/ca.pem")},
        "TEMPORAL_API_KEY",
    ),
    "plain temporal on loopback": (
        {**NO_CERTIFICATE, "temporal_address": "127.0.0.1:7233"},
        "TEMPORAL_TLS_CERT_FILE",
    ),
    "plain payloads without end": (
        {"temporal_plain_payloads_until": now() + timedelta(days=365)},
        "TEMPORAL_PLAIN_PAYLOADS_UNTIL",
    ),
    "half a certificate": ({"temporal_tls_key_file": None}, "TEMPORAL_TLS_KEY_FILE"),
    "http page reads histories": ({"temporal_codec_origins": "http://ui.example.com"}, "TEMPORAL_CODEC_ORIGINS"),
    "no isolation": ({"trusted_code": True}, "TRUSTED_CODE"),
    "local repositories": ({"allow_file_sources": True}, "ALLOW_FILE_SOURCES"),
    "private repositories": ({"allow_private_sources": True}, "ALLOW_PRIVATE_SOURCES"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_with_its_setting(good, name):
    changes, setting = FAULTS[name]
    [fault] = found(good, **changes)
    assert f"DELIVERY_{setting}" in fault


def test_secrets_of_the_embedded_stack_are_recognised(good):
    folder = good["data_dir"]
    url = DATABASE.format(password(folder / "secrets", "postgres")) + "?sslmode=require"
    [fault] = found(good, database_url=url)
    assert "DELIVERY_DATABASE_URL" in fault
    [fault] = found(good, encryption_keys=f"{drawn()} {encryption_key_file(Settings(data_dir=folder)).read_text()}")
    assert "DELIVERY_ENCRYPTION_KEYS" in fault
    assert url not in fault


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o601])
@pytest.mark.parametrize(
    ("setting", "file"), [("jwt_private_key_file", "jwt.pem"), ("temporal_tls_key_file", "client.key")]
)
def test_keys_that_others_may_read_are_refused(good, tmp_path, setting, file, mode):
    copy = tmp_path / file
    copy.write_bytes((good["data_dir"] / file).read_bytes())
    copy.chmod(mode)
    [fault] = found(good, **{setting: copy})
    assert f"{mode:04o}" in fault
    copy.chmod(0o440)
    assert found(good, **{setting: copy}) == []


def test_a_key_that_is_missing_or_no_key_is_a_fault(good, tmp_path):
    [fault] = found(good, jwt_private_key_file=tmp_path / "nowhere.pem")
    assert "nowhere.pem" in fault
    (tmp_path / "bad.pem").write_bytes(b"no key")
    (tmp_path / "bad.pem").chmod(0o600)
    assert "not an unencrypted PEM" in found(good, jwt_private_key_file=tmp_path / "bad.pem")[0]


def test_the_embedded_mode_is_let_through():
    assert startup_checks.faults(Settings(trusted_code=True), startup_checks.API) == []
    for here in ("127.0.0.1:7233", "localhost:7233", "[::1]:7233", "127.3.2.1:1"):
        assert startup_checks.faults(Settings(temporal_address=here), startup_checks.WORKER) == []


@pytest.mark.parametrize("address", ["10.0.0.7:7233", "temporal:7233", "localhost.example.com:7233", "0.0.0.0:7233"])
def test_a_temporal_elsewhere_wants_credentials_in_every_mode(address):
    """Whoever forgets `DELIVERY_MODE` works with the embedded mode's rules, on a server that is none of its own."""
    for given in ({}, {"temporal_tls": True}):
        settings = Settings(temporal_address=address, **given)
        [fault] = startup_checks.faults(settings, startup_checks.WORKER)
        assert "DELIVERY_TEMPORAL_API_KEY" in fault
        with pytest.raises(DependencyError, match="TEMPORAL_API_KEY"):
            tls_of(settings)
    assert startup_checks.faults(Settings(temporal_address=address, temporal_api_key="k"), startup_checks.WORKER) == []


def test_the_old_way_around_is_gone(good, monkeypatch):
    monkeypatch.setenv("DELIVERY_ALLOW_PLAIN_TEMPORAL", "true")
    assert any("TEMPORAL_TLS_CERT_FILE" in fault for fault in found(good, **NO_CERTIFICATE))


@pytest.mark.parametrize(
    ("command", "checks"),
    [pytest.param("api", startup_checks.API, marks=pytest.mark.deep), ("worker", startup_checks.WORKER)],
)
async def test_the_process_names_all_faults_at_once_and_does_not_start(command, checks, tmp_path: Path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DELIVERY_")}
    environment = {**kept, "DELIVERY_MODE": "production", "DELIVERY_DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", command),
        cwd=ROOT,
        env={**environment, "DELIVERY_TRUSTED_CODE": "true"},
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(240):
        _, said = await process.communicate()
    assert process.returncode == 2
    expected = startup_checks.faults(Settings(mode=Mode.PRODUCTION, data_dir=tmp_path, trusted_code=True), checks)
    assert len(expected) >= 4
    assert startup_checks.report(expected) in said.decode()


def test_every_setting_that_is_guarded_is_in_the_table():
    page = (ROOT / "docs" / "production.md").read_text()
    for _, setting in FAULTS.values():
        assert f"`DELIVERY_{setting}`" in page
