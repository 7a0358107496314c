"""Histories are encrypted: what Temporal keeps is of no use without the keys."""

import base64
import os
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from domain.errors import DependencyError
from runtime.codec import ENCODING, EncryptionCodec, data_converter, load_codec
from runtime.ids import now
from runtime.refused_payloads import is_refused
from runtime.settings import Settings
from runtime.temporal import connect_temporal

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
WORD = "xylophone"


def codec(keys: str) -> EncryptionCodec:
    found = load_codec(Settings(temporal_codec_keys=keys))
    assert found
    return found


@workflow.defn(name="secretive")
class Secretive:
    """Puts its word everywhere a workflow can put one."""

    @workflow.run
    async def run(self, word: str) -> str:
        workflow.upsert_memo({"word": word})
        workflow.set_current_details(word)
        if word.startswith("fail"):
            raise ApplicationError(word, {"word": word}, type="Refused", non_retryable=True)
        return word

    @workflow.query
    def said(self) -> str:
        return WORD


async def test_encrypts_with_the_newest_key_and_decrypts_with_all():
    payload = Payload(metadata={"encoding": b"json/plain"}, data=WORD.encode())
    [before] = await codec(OLD).encode([payload])
    [after] = await codec(f"{NEW}, {OLD}").encode([payload])
    assert before.metadata["encoding"] == after.metadata["encoding"] == ENCODING
    assert before.metadata["encryption-key-id"] != after.metadata["encryption-key-id"]
    assert WORD.encode() not in before.SerializeToString() + after.SerializeToString()
    assert await codec(f"{NEW}\n{OLD}").decode([before, after]) == [payload, payload]


PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b"{}")


async def test_what_is_not_encrypted_is_refused_and_shown_to_people():
    [mark] = await codec(NEW).decode([PLAIN])
    assert is_refused(mark)
    assert not mark.data
    assert await codec(NEW).show([PLAIN]) == [PLAIN]


async def test_until_a_moment_what_was_never_encrypted_is_read():
    for away, is_read in ((timedelta(hours=1), True), (-timedelta(hours=1), False)):
        settings = Settings(temporal_codec_keys=NEW, temporal_plain_payloads_until=now() + away)
        found = load_codec(settings)
        assert found
        assert (await found.decode([PLAIN]) == [PLAIN]) is is_read


async def test_a_missing_key_is_named_and_a_changed_payload_is_refused():
    [sealed] = await codec(OLD).encode([Payload(data=WORD.encode())])
    with pytest.raises(DependencyError, match=sealed.metadata["encryption-key-id"].decode()):
        await codec(NEW).decode([sealed])
    for data in (sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]), b"short", b""):
        sealed.data = data
        assert is_refused((await codec(OLD).decode([sealed]))[0])
        with pytest.raises(DependencyError, match="changed"):
            await codec(OLD).show([sealed])


@pytest.mark.parametrize("keys", ["secret", base64.b64encode(b"x" * 16).decode(), f"{NEW},?"])
def test_keys_that_are_none_are_refused_without_being_shown(keys: str):
    with pytest.raises(DependencyError, match="DELIVERY_TEMPORAL_CODEC_KEYS") as seen:
        load_codec(Settings(temporal_codec_keys=keys))
    assert keys not in str(seen.value)


def test_without_keys_nothing_is_encrypted():
    assert data_converter(Settings()) is pydantic_data_converter


@pytest.fixture
async def secretly(temporal_env: WorkflowEnvironment) -> Client:
    address = temporal_env.client.service_client.config.target_host
    return await connect_temporal(Settings(temporal_address=address, temporal_codec_keys=NEW))


async def test_temporal_never_sees_the_words_and_we_read_them_all(secretly: Client):
    queue = f"codec-{uuid4()}"
    runner = UnsandboxedWorkflowRunner()
    async with Worker(secretly, task_queue=queue, workflows=[Secretive], workflow_runner=runner):
        good = await secretly.start_workflow(
            "secretive", WORD, id=str(uuid4()), task_queue=queue, memo={"note": WORD}, static_summary=WORD
        )
        assert await good.result() == WORD
        assert await good.query(Secretive.said) == WORD
        bad = await secretly.start_workflow("secretive", f"fail {WORD}", id=str(uuid4()), task_queue=queue)
        with pytest.raises(WorkflowFailureError) as failure:
            await bad.result()
        await good.query("__temporal_workflow_metadata")
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.message, cause.type, cause.details[0]) == (f"fail {WORD}", "Refused", {"word": f"fail {WORD}"})
    assert await (await good.describe()).static_summary() == WORD
    for handle in (good, bad):
        history = await handle.fetch_history()
        kept = b"".join(event.SerializeToString() for event in history.events)
        assert WORD.encode() not in kept
        assert ENCODING in kept
        await replay(history)


async def replay(history: WorkflowHistory) -> None:
    """Raises when the history does not replay with both keys in place, the newer one not being its own."""
    both = Settings(temporal_codec_keys=f"{base64.b64encode(os.urandom(32)).decode()} {NEW}")
    replayer = Replayer(
        workflows=[Secretive], data_converter=data_converter(both), workflow_runner=UnsandboxedWorkflowRunner()
    )
    await replayer.replay_workflow(history)
