"""Provenance that we sign is checked by tools that nobody here wrote, and refused by them when it was touched."""

import base64
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from securesystemslib.exceptions import VerificationError

from domain.provenance import Document, Made, statement_of
from runtime import dsse
from runtime.attestation_keys import key_id, new_key, public_pem
from tests.support.provenance import verified

GO = Path(__file__).resolve().parents[1] / "provenance_go"
ARTIFACT = b"what was built"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MADE = Made(
    organization_id=UUID(int=1),
    project_id=UUID(int=2),
    build_id=UUID(int=3),
    operation_id=UUID(int=4),
    name="shop",
    version_tag="1.0.0",
    digest=f"sha256:{hashlib.sha256(ARTIFACT).hexdigest()}",
    repository="https://git.example.com/acme/größe.git",
    branch='feature/"ü"',
    commit=COMMIT,
    source_path=".",
    spec={"service": {"command": "serve"}},
    builder_id="https://delivery.example.com/builder",
    builder_version="0.1.0",
    isolated=True,
    started_at=datetime(2026, 12, 1, 10, tzinfo=UTC),
    finished_at=datetime(2026, 12, 1, 10, 1, tzinfo=UTC),
    documents=[Document("sbom.cdx.json", "application/vnd.cyclonedx+json", "sha256:" + "0" * 64, {"critical": 0})],
    tests={"passed": 3},
)


@pytest.fixture(scope="module")
def key():
    return new_key()


@pytest.fixture(scope="module")
def envelope(key):
    return dsse.signed(statement_of(MADE), dsse.IN_TOTO, key, key_id(key.public_key()))


def test_in_toto_and_securesystemslib_verify_it(envelope, key):
    statement = verified(envelope, public_pem(key.public_key()))
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["repository"] == MADE.repository


def test_they_refuse_another_key_and_another_text(envelope, key):
    with pytest.raises(VerificationError):
        verified(envelope, public_pem(new_key().public_key()))
    touched = json.loads(envelope)
    payload = base64.b64decode(touched["payload"]).replace(b'"1.0.0"', b'"6.6.6"')
    touched["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(VerificationError):
        verified(json.dumps(touched).encode(), public_pem(key.public_key()))


def test_the_same_key_signs_the_same_bytes(envelope, key):
    assert dsse.signed(statement_of(MADE), dsse.IN_TOTO, key, key_id(key.public_key())) == envelope


def test_the_encoding_is_the_protocols_own_example():
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pae("ü", "ü".encode()) == "DSSEv1 2 ü 2 ü".encode()


def test_openssl_verifies_it_by_hand(envelope, key, tmp_path):
    """As docs/provenance.md tells people to."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("this machine has no openssl; the other tests check the signature, too")
    found = json.loads(envelope)
    texts = {
        "key.pem": public_pem(key.public_key()).encode(),
        "signature": base64.b64decode(found["signatures"][0]["sig"]),
        "signed": dsse.pae(found["payloadType"], base64.b64decode(found["payload"])),
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    words = [openssl, "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "signed"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=True, text=True).stdout == "Verified OK\n"


@pytest.fixture(scope="module")
def go_verifier(tmp_path_factory):
    """The program of `tests/provenance_go`: what slsa-verifier checks signatures and statements with."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        pytest.skip("NOT CHECKED by SLSA's Go modules: this machine has no Go")
    program = tmp_path_factory.mktemp("go") / "verify"
    found = subprocess.run(
        [go, "build", "-mod=readonly", "-o", program, "."], cwd=GO, capture_output=True, text=True, check=False
    )
    if found.returncode and ("dial tcp" in found.stderr or "proxy" in found.stderr or "lookup" in found.stderr):
        pytest.skip(f"NOT CHECKED by SLSA's Go modules, which are not here and cannot be had: {found.stderr[-300:]}")
    assert found.returncode == 0, found.stderr
    return program


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_the_go_modules_of_slsa_and_in_toto_verify_it(go_verifier, envelope, key, tmp_path):
    (tmp_path / "key.pem").write_text(public_pem(key.public_key()))
    (tmp_path / "foreign.pem").write_text(public_pem(new_key().public_key()))
    (tmp_path / "envelope.json").write_bytes(envelope)
    (tmp_path / "touched.json").write_bytes(envelope.replace(b'"payload":"', b'"payload":"e30'))
    digest = hashlib.sha256(ARTIFACT).hexdigest()

    def run(name: str = "envelope.json", key_file: str = "key.pem", of: str = digest, commit: str = COMMIT) -> int:
        words = [go_verifier, name, key_file, of, commit]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode

    assert run() == 0
    refused = [run(key_file="foreign.pem"), run(name="touched.json"), run(of="0" * 64), run(commit="f" * 40)]
    assert refused == [1, 1, 1, 1]
