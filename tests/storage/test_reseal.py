"""Rotation of the keys that seal stored secrets."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import LargeBinary, select

from api.oauth.keystore import KeyStore
from runtime.encryption import KEY_BYTES, Sealer
from runtime.ids import new_id
from storage import reseal as command
from storage.attestation_keys import AttestationKeys
from storage.engine import transaction
from storage.models import AuditEntry, Base, Organization, Project, Secret
from storage.reseal import reseal, words
from storage.sealed import SEALED, secret_context

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def stored(sessions, monkeypatch):
    """Secrets of a project, sealed with the old key but for the last; batches of two."""
    monkeypatch.setattr(command, "BATCH", 2)
    org, project = new_id(), new_id()
    rows = {}
    async with transaction(sessions) as session:
        session.add(Organization(id=org, name="A", slug=str(org), host_label=str(org)))
        await session.flush()
        session.add(Project(id=project, organization_id=org, name="S", slug="s", host_label="s", repository_url="x"))
        await session.flush()
        for number in range(5):
            row = Secret(
                id=new_id(),
                organization_id=org,
                project_id=project,
                name=f"N{number}",
                kind="service_env",
                created_by="me",
            )
            sealer = Sealer([NEW if number == 4 else OLD])
            row.sealed_value = sealer.seal(f"value {number}".encode(), secret_context(row.id))
            rows[row.id] = f"value {number}".encode()
            session.add(row)
    yield rows
    async with transaction(sessions) as session:
        for row in await session.scalars(select(Secret)):
            await session.delete(row)


async def state(sessions) -> dict[UUID, Secret]:
    async with transaction(sessions) as session:
        return {row.id: row for row in await session.scalars(select(Secret))}


async def test_everything_is_sealed_anew_and_nothing_else_changes(sessions, stored):
    before = await state(sessions)
    sealer = Sealer([NEW, OLD])
    report = await reseal(sessions, sealer)
    after = await state(sessions)
    assert report.resealed == {"secrets.sealed_value": 4}
    assert {key: Sealer([NEW]).open(row.sealed_value, secret_context(key)) for key, row in after.items()} == stored
    assert {row.updated_at for row in before.values()} == {row.updated_at for row in after.values()}
    assert {row.version for row in after.values()} == {1}
    async with transaction(sessions) as session:
        [entry] = await session.scalars(select(AuditEntry).where(AuditEntry.action == "secrets.resealed"))
    told = {"resealed": {"secrets.sealed_value": 4}, "with_key": sealer.key_ids[0], "stuck": 0}
    assert (entry.actor, entry.details) == ("system", told)
    assert "nothing" not in words(report, sealer)[0]
    new, old = sealer.key_ids
    assert f"key {new}: 5 values" in words(report, sealer)
    assert words(report, sealer)[-1].endswith(f"may be taken out of DELIVERY_ENCRYPTION_KEYS: {old}")


async def test_a_second_run_has_nothing_to_do(sessions, stored):
    sealer = Sealer([NEW, OLD])
    await reseal(sessions, sealer)
    kept = {key: row.sealed_value for key, row in (await state(sessions)).items()}
    report = await reseal(sessions, sealer)
    assert words(report, sealer)[0] == "nothing to seal anew"
    assert {key: row.sealed_value for key, row in (await state(sessions)).items()} == kept


async def test_a_run_that_was_killed_is_gone_on_with(sessions, stored):
    class KilledError(Exception):
        """In the third batch."""

    class Dying(Sealer):
        left = 3

        def seal(self, plain: bytes, context: str) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise KilledError
            return super().seal(plain, context)

    with pytest.raises(KilledError):
        await reseal(sessions, Dying([NEW, OLD]))
    sealer = Sealer([NEW, OLD])
    assert (await reseal(sessions, sealer)).resealed == {"secrets.sealed_value": 2}  # the third one died with its batch


async def test_signing_keys_open_with_the_new_key_alone(sessions):
    """Those of tokens are sealed for the id by which they are published, not for that of their row."""
    old, both, new = (Sealer(keys) for keys in ([OLD], [NEW, OLD], [NEW]))
    await KeyStore(sessions, old).load(None)
    async with transaction(sessions) as session:
        signing = await AttestationKeys(old).signing(session)
        before, _ = await AttestationKeys(old).rotate(session)
    report = await reseal(sessions, both)
    assert report.stuck == []
    assert report.resealed == {"signing_keys.private_key": 1, "attestation_keys.sealed_key": 2}
    [loaded] = await KeyStore(sessions, new).load(None)
    assert loaded.private is not None
    async with transaction(sessions) as session:
        assert (await AttestationKeys(new).signing(session)).kid != before == signing.kid
        assert (await AttestationKeys(new).find(session, before)).public is not None


async def test_a_value_that_no_key_opens_is_named_and_holds_up_no_other(sessions, stored):
    moved = next(iter(stored))
    async with transaction(sessions) as session:
        (await session.get_one(Secret, moved)).sealed_value = Sealer([b"x" * KEY_BYTES]).seal(b"x", "elsewhere")
    sealer = Sealer([NEW, OLD])
    report = await reseal(sessions, sealer)
    assert report.resealed == {"secrets.sealed_value": 3}
    [stuck] = report.stuck
    assert str(moved) in stuck
    assert "put them back" in "\n".join(words(report, sealer))


def test_every_column_of_bytes_is_on_the_list():
    """Whoever adds a table of sealed values is told here that rotation would pass it over."""
    # Answers kept for an Idempotency-Key are sealed too, and gone after a day; hashes and documents are no secrets.
    others = {"idempotency_keys.body", "audit_chains.hash", "audit_links.hash", "build_documents.content"}
    tables = Base.metadata.tables.values()
    columns = {f"{table.name}.{column.name}" for table in tables for column in table.c if is_bytes(column)}
    assert columns - others == {place.name for place in SEALED}


def is_bytes(column) -> bool:
    return isinstance(column.type, LargeBinary)


async def test_the_command_says_what_it_did(database_url, stored, sessions):
    keys = ",".join(base64.b64encode(key).decode() for key in (NEW, OLD))
    settings = {"DELIVERY_DATABASE_URL": database_url, "DELIVERY_ENCRYPTION_KEYS": keys, "PATH": os.environ["PATH"]}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "storage.reseal"],
            cwd=ROOT, env=settings, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "secrets.sealed_value: 4 sealed anew" in done.stdout
    assert keys[:20] not in done.stdout
    settings["DELIVERY_ENCRYPTION_KEYS"] = "short"
    assert "32 bytes in base64" in run().stderr
