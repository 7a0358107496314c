"""Operators read encrypted histories: by Temporal's own protocol, with Temporal's own CLI."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from temporalio import workflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from api.app import create_app
from domain.permissions import Role
from runtime.settings import Settings
from runtime.stack import binaries
from runtime.temporal import connect_temporal
from tests.api.conftest import BASE_URL, Caller, RecordedOperations
from tests.api.http.test_errors import check_error
from tests.support.serving import served

KEYS = " ".join(base64.b64encode(letter * 32).decode() for letter in (b"n", b"o"))
UI = "https://temporal.example.com"
WORD = "xylophone"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLAIN = {"payloads": [{"metadata": {"encoding": b64("json/plain")}, "data": b64(f'"{WORD}"')}]}


@pytest.fixture(scope="module")
def reading(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "temporal_codec_keys": type(settings.temporal_codec_keys)(KEYS),
            "temporal_codec_origins": f"{UI}, http://127.0.0.1:8233",
        }
    )


@pytest.fixture(scope="module")
async def encrypting(reading: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(reading, make_operations=lambda _: RecordedOperations())
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
def operator(encrypting: FastAPI, reading: Settings) -> Caller:
    return Caller(encrypting, reading, Role.PLATFORM_ADMIN)


async def test_what_was_encoded_is_decoded(operator: Caller):
    encoded = await operator.post(f"{BASE_URL}/temporal/codec/encode", PLAIN, headers={"X-Namespace": "default"})
    [sealed] = encoded.json()["payloads"]
    assert base64.b64decode(sealed["metadata"]["encoding"]) == b"binary/encrypted"
    both = {"payloads": [sealed, *PLAIN["payloads"]]}
    decoded = await operator.post(f"{BASE_URL}/temporal/codec/decode", both)
    assert decoded.json() == {"payloads": PLAIN["payloads"] * 2}
    assert decoded.headers["cache-control"] == "no-store"


async def test_only_platform_admins_read(encrypting: FastAPI, reading: Settings, operator: Caller):
    admin = Caller(encrypting, reading, Role.ADMIN, str(uuid4()))
    for path in ("decode", "encode"):
        check_error(await admin.post(f"{BASE_URL}/temporal/codec/{path}", PLAIN), 403, "AUTHORIZATION_DENIED")
        anybody = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=encrypting), base_url=BASE_URL)
        check_error(await anybody.post(f"/temporal/codec/{path}", json=PLAIN), 401, "AUTHENTICATION_FAILED")
    check_error(await operator.get(f"{BASE_URL}/temporal/codec/decode"), 405, "METHOD_NOT_ALLOWED")


async def test_bad_bodies_are_refused(operator: Caller):
    url = f"{BASE_URL}/temporal/codec/decode"
    deep = '{"payloads":' + "[" * 20_000
    for content in ("", "{", '{"payloads":[{"data":1}]}', '{"other":1}', deep):
        response = await operator.http.post(url, content=content, headers={"Content-Type": "application/json"})
        check_error(response, 400, "VALIDATION_ERROR")
    check_error(await operator.post(url, {"payloads": [{"data": "A" * 2**20}]}), 413, "PAYLOAD_TOO_LARGE")
    unknown = {"metadata": {"encoding": b64("binary/encrypted"), "encryption-key-id": b64("k1")}, "data": b64("x" * 40)}
    response = await operator.post(url, {"payloads": [unknown]})
    check_error(response, 422, "UNPROCESSABLE")
    assert "'k1'" in response.json()["error"]["message"]


async def test_pages_of_the_ui_may_call_and_no_others(encrypting: FastAPI):
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=encrypting), base_url=BASE_URL)
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-namespace"}
    allowed = await http.options("/temporal/codec/decode", headers={"Origin": UI, **asks})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == UI
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in allowed.headers
    refused = await http.post("/temporal/codec/decode", headers={"Origin": UI}, json=PLAIN)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, UI)
    for path, origin in (("/temporal/codec/decode", "https://evil.example"), ("/v1/organizations", UI)):
        answer = await http.options(path, headers={"Origin": origin, **asks})
        assert "access-control-allow-origin" not in answer.headers


async def test_without_keys_or_origins_there_is_no_such_thing(platform: Caller, app: FastAPI):
    check_error(await platform.post(f"{BASE_URL}/temporal/codec/decode", PLAIN), 404, "RESOURCE_NOT_FOUND")
    answer = await platform.http.options(f"{BASE_URL}/temporal/codec/decode", headers={"Origin": UI})
    assert "access-control-allow-origin" not in answer.headers
    assert not any("codec" in path for path in app.openapi()["paths"])


@pytest.mark.parametrize("origin", ["*", "https://ui.example.com/", "ui.example.com", "https://"])
def test_an_origin_is_one(origin: str):
    with pytest.raises(ValueError, match="scheme://host"):
        Settings(temporal_codec_origins=origin)


@workflow.defn(name="secretive")
class Secretive:
    """Keeps a word."""

    @workflow.run
    async def run(self, word: str) -> str:
        return word


async def temporal_cli(home: Path, *arguments: str) -> str:
    """What the CLI prints; it sees no configuration but its arguments."""
    process = await asyncio.create_subprocess_exec(
        str(binaries.temporal(Settings())),
        *arguments,
        env={"HOME": str(home), "PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    return output.decode()


async def test_the_cli_shows_a_history_through_the_endpoint(
    encrypting: FastAPI, reading: Settings, operator: Caller, temporal_env: WorkflowEnvironment, tmp_path: Path
):
    address = temporal_env.client.service_client.config.target_host
    client = await connect_temporal(reading.model_copy(update={"temporal_address": address}))
    queue, name = f"codec-{uuid4()}", str(uuid4())
    async with Worker(client, task_queue=queue, workflows=[Secretive], workflow_runner=UnsandboxedWorkflowRunner()):
        await client.execute_workflow("secretive", WORD, id=name, task_queue=queue)
    argv = ["workflow", "show", "--workflow-id", name, "--address", address, "--output", "json"]
    assert WORD not in await temporal_cli(tmp_path, *argv)
    async with served(encrypting) as port:
        endpoint = ["--codec-endpoint", f"http://127.0.0.1:{port}/temporal/codec"]
        shown = await temporal_cli(tmp_path, *argv, *endpoint, "--codec-auth", f"Bearer {operator.token}")
    started = json.loads(shown)["events"][0]["workflowExecutionStartedEventAttributes"]
    assert started["input"]["payloads"][0]["data"] == b64(f'"{WORD}"')
