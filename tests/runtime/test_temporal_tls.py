"""Temporal behind TLS, for real: Envoy asks for certificates in front of the dev server, which cannot."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.errors import DependencyError
from orchestration.connection import Connection
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from runtime.temporal_rotation import ClientRotation, Rotation
from tests.support.certificates import Authority, Issued
from tests.support.tls_proxy import tls_proxy
from tests.support.waiting import until

NAME = "temporal.test"


@workflow.defn(name="echo")
class Echo:
    """Says what it is told."""

    @workflow.run
    async def run(self, word: str) -> str:
        return word


@dataclass(frozen=True)
class Door:
    """The way through Envoy; `mutual` wants a certificate that `authority` signed."""

    folder: Path
    authority: Authority
    mutual: int
    plain: int

    def settings(self, port: int, **changes: Any) -> Settings:
        good = {
            "temporal_address": f"127.0.0.1:{port}",
            "temporal_tls_ca_file": self.folder / "ca.pem",
            "temporal_tls_server_name": NAME,
        }
        return Settings(**{**good, **changes})

    def came(self, who: str) -> bool:
        return who in (self.folder / "access.log").read_text().lower()


class Files:
    """A client's certificate and key in files of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.names = {
            "temporal_tls_cert_file": folder / "client.pem",
            "temporal_tls_key_file": folder / "client.key",
        }

    def put(self, issued: Issued, *, halfway: bool = False) -> None:
        cert, key = self.names.values()
        cert.write_bytes(issued.certificate)
        if not halfway:
            key.write_bytes(issued.key)


@pytest.fixture(scope="module")
def door(temporal_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority("ours")
    server = authority.issue(NAME)
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "server.pem").write_bytes(server.certificate)
    (folder / "server.key").write_bytes(server.key)
    upstream = int(temporal_env.client.service_client.config.target_host.rpartition(":")[2])
    with tls_proxy(folder, upstream) as (mutual, plain):
        yield Door(folder, authority, mutual, plain)


async def says_hello(client: Client, worker: Worker) -> None:
    handle = await client.start_workflow("echo", "hello", id=str(uuid4()), task_queue=worker.task_queue)
    assert await handle.result() == "hello"


def worker_of(client: Client) -> Worker:
    runner = UnsandboxedWorkflowRunner()
    return Worker(client, task_queue=f"tls-{uuid4()}", workflows=[Echo], workflow_runner=runner)


async def test_a_workflow_runs_through_mutual_tls_and_goes_on_with_a_new_certificate(door: Door, tmp_path: Path):
    files, first, second = Files(tmp_path), door.authority.issue("engine"), door.authority.issue("engine")
    files.put(first)
    settings = door.settings(door.mutual, **files.names)
    rotation, connection = Rotation(settings), Connection(settings)
    client = await connection.client()
    async with worker_of(client) as worker:
        await says_hello(client, worker)
        await until(lambda: door.came(first.serial))
        assert not door.came(second.serial)

        files.put(second, halfway=True)  # a certificate with another one's key
        assert await rotation.look() is None
        rotated: list[Client] = []
        watch = ClientRotation(rotation, rotated.append)
        watch.interval_s = 0.02
        watching = asyncio.create_task(watch.run())
        files.put(second)
        await until(lambda: bool(rotated))
        worker.client = rotated[0]
        assert await connection.client() is not client
        await says_hello(await connection.client(), worker)
        await until(lambda: door.came(second.serial))
        watching.cancel()
        assert len(rotated) == 1


async def test_without_our_certificate_nobody_gets_in(door: Door, tmp_path: Path):
    files = Files(tmp_path)
    files.put(Authority("theirs").issue("engine"))
    for strangers in ({}, files.names):
        with pytest.raises(DependencyError, match="credentials"):
            await connect_temporal(door.settings(door.mutual, **strangers))


async def test_a_server_that_cannot_prove_its_name_is_not_talked_to(door: Door, tmp_path: Path):
    (tmp_path / "other-ca.pem").write_bytes(Authority("theirs").certificate)
    for wrong in (
        {"temporal_tls_ca_file": tmp_path / "other-ca.pem"},
        {"temporal_tls_server_name": "another.test"},
        {"temporal_tls_ca_file": None, "temporal_tls": True},
    ):
        with pytest.raises(DependencyError, match="credentials"):
            await connect_temporal(door.settings(door.plain, temporal_api_key="never sent", **wrong))
    assert not door.came("never sent")


async def test_an_api_key_goes_over_tls(door: Door):
    client = await connect_temporal(door.settings(door.plain, temporal_api_key="tmprl-key-1"))
    async with worker_of(client) as worker:
        await says_hello(client, worker)
    await until(lambda: door.came("bearer tmprl-key-1"))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"temporal_tls_cert_file": "a.pem"}, "without DELIVERY_TEMPORAL_TLS_KEY_FILE"),
        ({"temporal_tls_key_file": "a.key"}, "without DELIVERY_TEMPORAL_TLS_CERT_FILE"),
        ({"temporal_tls_server_name": NAME}, "without TLS"),
        ({"temporal_api_key": "k", "temporal_tls_cert_file": "a", "temporal_tls_key_file": "b"}, "one of them"),
        ({"temporal_tls_ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be read"),
    ],
)
async def test_what_is_half_configured_is_named(given: dict[str, str], named: str):
    with pytest.raises(DependencyError, match=named):
        await connect_temporal(Settings(**given))
