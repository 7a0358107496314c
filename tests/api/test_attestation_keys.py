"""The keys of provenance: where anybody finds them, and the command that rotates and revokes them."""

import base64

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK

from api.cli.__main__ import main
from runtime.attestation_keys import key_id, new_key, public_pem
from runtime.encryption import load_sealer
from runtime.ids import new_id
from storage import attestation_keys
from storage.attestation_keys import AttestationKeys
from storage.engine import transaction
from storage.models import AttestationKey
from storage.repositories.attestation_keys import AttestationKeyRepository

PATH = "/.well-known/delivery-attestation-keys.json"


@pytest.fixture
async def client(app):
    """Anybody."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as found:
        yield found


@pytest.fixture
def keys(settings):
    return AttestationKeys(load_sealer(settings))


async def published(client):
    answer = await client.get(PATH)
    assert answer.status_code == 200
    return answer


async def test_old_keys_stay_listed_and_revoked_ones_are_told(client, rows, keys):
    async with transaction(rows) as session:
        first = (await keys.signing(session)).kid
        _, second = await keys.rotate(session)
    answer = await published(client)
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    found = {key["kid"]: key for key in answer.json()["keys"]}
    assert {first, second} <= found.keys()
    assert (found[first]["state"], found[second]["state"]) == ("retired", "active")
    for key in found.values():
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
        same = load_pem_public_key(key["pem"].encode())
        assert PyJWK(key).key.public_numbers() == same.public_numbers()
        assert len(base64.urlsafe_b64decode(f"{key['x']}=")) == 32
        assert "d" not in key

    again = await client.get(PATH, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    async with transaction(rows) as session:
        third = await keys.revoke(session, second)
    after = (await published(client)).json()
    assert second not in {key["kid"] for key in after["keys"]}
    assert [each["kid"] for each in after["not_believed"] if each["revoked_at"]] == [second]
    assert third in {key["kid"] for key in after["keys"]}


async def test_a_key_that_somebody_wrote_into_the_database_is_not_published(client, rows, keys):
    key = new_key()
    kid = key_id(key.public_key())
    async with transaction(rows) as session:
        ours = await keys.signing(session)
        row = await AttestationKeyRepository(session).find(ours.kid)
        pem = public_pem(key.public_key())
        session.add(AttestationKey(id=new_id(), kid=kid, state="retired", public_key=pem, sealed_key=row.sealed_key))
    found = (await published(client)).json()
    assert ours.kid in {each["kid"] for each in found["keys"]}
    assert kid not in {each["kid"] for each in found["keys"]}
    assert kid in {each["kid"] for each in found["not_believed"]}
    async with transaction(rows) as session:
        await session.delete(await AttestationKeyRepository(session).find(kid))


@pytest.fixture
def command(settings, monkeypatch, capsys):
    """The command line, with this engine's settings: its exit status and what it said."""
    monkeypatch.setattr(attestation_keys, "get_settings", lambda: settings)
    monkeypatch.setattr(attestation_keys, "database_url", lambda _: settings.database_url.get_secret_value())

    def run(*arguments):
        status = main(["attestation-keys", *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_the_command_rotates_and_revokes(command):
    status, said = command("rotate")
    assert (status, "signs now" in said) == (0, True)
    new = said.split()[0]
    status, said = command("rotate", "--old-until", "2099-01-31")
    assert (status, f"{new} verifies what it signed until 2099-01-31 00:00 UTC" in said) == (0, True)
    assert f"{new}  retired" in command("list")[1]
    status, said = command("rotate", "--old-until", "2018-01-31")
    assert (status, "2018-01-31 00:00 UTC is over" in said) == (1, True)
    status, said = command("revoke", new)
    assert (status, f"{new} is revoked" in said) == (0, True)
    assert f"{new}  revoked" in command("list")[1]
    assert command("revoke", "nobody's") == (
        1,
        'there is no attestation key "nobody\'s"; `attestation-keys list` names them\n',
    )
