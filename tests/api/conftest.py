"""The API as it is served, on a real PostgreSQL with real tokens. Only Temporal is replaced, by a recorder."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from operator import is_
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route

from api.app import create_app
from api.auth import refresh
from api.oauth import keystore
from api.openapi import served
from api.openapi.document import build as document_of
from api.openapi.traversal import Json
from api.services import health
from contracts.names import operation_of
from contracts.operations import AbortRequest, ActionRequest, Progress
from domain.approvals import Action
from domain.build_documents import DocumentKind
from domain.errors import DeliveryError
from domain.lifecycle import OperationKind
from domain.permissions import Role, permissions_of
from runtime import keys, passwords
from runtime.encryption import encryption_key_file, ensure_encryption_key
from runtime.files import PRIVATE, write_whole
from runtime.ids import new_id, now
from runtime.keys import Signer, key_file, new_private_key, private_pem, read_private, rsa_signer
from runtime.settings import Settings
from runtime.tokens import Subject, sign
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.models import Build, Deployment, Environment, Operation, Release
from storage.repositories.build_documents import BuildDocumentRepository
from storage.repositories.build_records import BuildRecordRepository
from tests.api.documented import check_documented

# Passwords as in production take 64 MiB and 50 ms each; their parameters have a test of their own.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
BASE_URL = "http://api.test"


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Without the coloured tracebacks of structlog's default, which take seconds for a deep one."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])


@pytest.fixture(scope="session", autouse=True)
def patient_health() -> Iterator[None]:
    """A part that answers late on a busy machine is healthy all the same; one that is away is tested."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(health, "CHECK_LIMIT_S", 120.0)
        patched.setattr(refresh, "STALE_AFTER_S", 120.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_secrets() -> Iterator[None]:
    """What takes a tenth of a second for each application: to hash a password, and to read the same private key anew.

    What passwords cost is tested in tests/runtime/test_passwords.py.
    """
    read = lru_cache(read_private)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "PasswordHasher", lambda: CHEAP)
        for module in (keys, keystore):
            patched.setattr(module, "read_private", read)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_document() -> Iterator[None]:
    """The document takes a second to make, and is the same for all applications with the same routes."""
    made: list[tuple[list[BaseRoute], Json]] = []

    def build(app: FastAPI) -> Json:
        routes = [route for route in app.routes if _may_be_described(route)]
        for known, document in made:
            if len(known) == len(routes) and all(map(is_, known, routes)):
                return deepcopy(document)
        made.append((routes, document_of(app)))
        return deepcopy(made[-1][1])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(served, "build", build)
        yield


def _may_be_described(route: BaseRoute) -> bool:
    return route.include_in_schema if isinstance(route, APIRoute) else not isinstance(route, Mount | Route)


@dataclass
class RecordedOperations:
    """Stands in for Temporal: notes what it is asked, answers what a test tells it to."""

    started: list[tuple[OperationKind, Mapping[str, Any]]] = field(default_factory=list)
    stopped: list[tuple[UUID, AbortRequest]] = field(default_factory=list)
    decided: list[tuple[UUID, Action, ActionRequest]] = field(default_factory=list)
    known: dict[UUID, Progress] = field(default_factory=dict)
    fault: DeliveryError | None = None  # of whatever is told
    down: DeliveryError | None = None  # of asking whether anybody is there
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, kind: OperationKind, payload: Mapping[str, Any]) -> None:
        self._fail()
        self.started.append((kind, payload))

    async def progress(self, workflow_id: str) -> Progress | None:
        self.asked.set()
        return self.known.get(_named(workflow_id))

    async def abort(self, workflow_id: str, request: AbortRequest) -> None:
        self._fail()
        self.stopped.append((_named(workflow_id), request))

    async def check(self) -> None:
        if self.down:
            raise self.down

    async def decide(self, workflow_id: str, action: Action, request: ActionRequest, *, key: str) -> None:
        self._fail()
        self.decided.append((_named(workflow_id), action, request))

    def _fail(self) -> None:
        if self.fault:
            raise self.fault


def _named(workflow_id: str) -> UUID:
    """The operation that a workflow's id ends with."""
    found = operation_of(workflow_id)
    assert found is not None, workflow_id
    return found


@lru_cache
def _signing_key() -> bytes:
    """One for all modules: to make a key, and to read one, takes a tenth of a second and more."""
    return private_pem(new_private_key())


@lru_cache
def _signer(key: bytes) -> Signer:
    return rsa_signer(read_private(key))


def token_for(settings: Settings, subject: Subject) -> str:
    """As `issue_token`, which reads the key for each token."""
    signer = _signer(key_file(settings).read_bytes())
    return sign(subject, signer, issuer=settings.jwt_issuer, audience=settings.jwt_audience)


@pytest.fixture(scope="module")
def settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data: Path = tmp_path_factory.mktemp("data")
    settings = Settings(
        data_dir=data,
        database_url=database_url,
        public_url=BASE_URL,
        ingress_port=8000,
        temporal_address="127.0.0.1:9",
        # Limits that tests about other things do not reach.
        anonymous_limit=1_000_000,
        platform_limit=1_000_000,
    )
    key_file(settings).parent.mkdir(mode=0o700, parents=True)
    write_whole(key_file(settings), _signing_key(), sync=False, mode=PRIVATE)
    ensure_encryption_key(encryption_key_file(settings))
    return settings


@pytest.fixture(scope="module")
def recorder() -> RecordedOperations:
    return RecordedOperations()


@pytest.fixture
def operations(recorder: RecordedOperations) -> RecordedOperations:
    recorder.started.clear()
    recorder.stopped.clear()
    recorder.decided.clear()
    recorder.known.clear()
    recorder.fault = recorder.down = None
    recorder.asked.clear()
    return recorder


@pytest.fixture(scope="module")
async def app(settings: Settings, recorder: RecordedOperations) -> AsyncIterator[FastAPI]:
    app = create_app(settings, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        yield app


class Caller:
    """A client with a token: `path` is under /v1."""

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        role: Role,
        org: str = "",
        *,
        cut: set[str] | None = None,
        subject: str = "",
    ):
        permissions = {str(scope) for scope in permissions_of(role)} - (cut or set())
        self.subject = subject or f"user-{new_id()}"
        self.token = token_for(settings, Subject(self.subject, role, permissions, organization=org))
        headers = {"Authorization": f"Bearer {self.token}"}
        transport = httpx2.ASGITransport(app=app)
        hooks = {"response": [check_documented]}
        self.http = httpx2.AsyncClient(
            transport=transport, base_url=BASE_URL + "/v1", headers=headers, timeout=30, event_hooks=hooks
        )

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.http.get(path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        return await self.http.post(path, json=body, **options)

    async def patch(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        return await self.http.patch(path, json=body, **options)

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        response = await self.post(path, body)
        assert response.status_code in {201, 202}, response.text
        return response.json()["data"]


@pytest.fixture(scope="module")
def caller(app: FastAPI, settings: Settings):
    def make(role: Role, org: str = "", *, cut: set[str] | None = None, subject: str = "") -> Caller:
        return Caller(app, settings, role, org, cut=cut, subject=subject)

    return make


@pytest.fixture(scope="module")
def platform(caller) -> Caller:
    return caller(Role.PLATFORM_ADMIN)


@dataclass
class World:
    """One organization with a project, a requirement and a feature."""

    org: dict[str, Any]
    project: dict[str, Any]
    requirement: dict[str, Any]
    feature: dict[str, Any]
    developer: Caller
    manager: Caller


async def make_world(platform: Caller, caller: Any, slug: str) -> World:
    org = await platform.made("/organizations", {"name": "Acme Corp", "slug": slug, "plan": "enterprise"})
    developer, manager = caller(Role.DEVELOPER, org["id"]), caller(Role.RELEASE_MANAGER, org["id"])
    project = await developer.made(
        f"/organizations/{org['id']}/projects",
        {"name": "Shop", "slug": "shop", "repository_url": "https://git.example.com/acme/shop"},
    )
    requirement = await developer.made(
        f"/projects/{project['id']}/requirements",
        {"title": "Sell things", "description": "...", "acceptance_criteria": ["It sells"]},
    )
    feature = await developer.made(
        f"/requirements/{requirement['id']}/features", {"name": "Basket", "description": "Holds things"}
    )
    return World(org, project, requirement, feature, developer, manager)


@pytest.fixture(scope="module")
async def world(platform: Caller, caller) -> World:
    return await make_world(platform, caller, "acme")


@pytest.fixture(scope="module")
async def other_world(platform: Caller, caller) -> World:
    return await make_world(platform, caller, "other")


@pytest.fixture(scope="module")
async def rows(settings: Settings) -> AsyncIterator[Sessions]:
    """What the worker would write, written by tests."""
    engine = create_engine(settings.database_url.get_secret_value(), application_name="tests")
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="module")
def build_of(rows: Sessions):
    """A feature built and deployed to dev, as far as the records tell: the worker's part is written here."""

    async def make(world: World, version: str, *, environment: str = "dev", live: bool = True) -> dict[str, Any]:
        body = {"version_tag": version, "git_branch": "main", "environment": environment, "approval_notes": "fine"}
        path = f"/features/{world.feature['id']}/build-and-deploy"
        accepted = await world.manager.made(path, body)
        operation_id, deployment_id = UUID(accepted["operation_id"]), UUID(accepted["resource_id"])
        async with transaction(rows) as session:
            deployment = await session.get_one(Deployment, deployment_id)
            operation = await session.get_one(Operation, operation_id)
            build = await BuildRecordRepository(session).record(new_id(), operation_id, _made(deployment, version))
            build.started_at = now() - timedelta(minutes=30)
            deployment.build_id = build.id
            for kind in DocumentKind:
                await BuildDocumentRepository(session).put(build.id, build.organization_id, kind, b"{}")
            if live:
                await make_live(session, operation, deployment, build)
        return {
            "operation_id": accepted["operation_id"],
            "deployment_id": str(deployment_id),
            "build_id": str(build.id),
        }

    return make


def _made(deployment: Deployment, version: str) -> dict[str, Any]:
    return {
        "organization_id": deployment.organization_id,
        "project_id": deployment.project_id,
        "feature_id": deployment.feature_id,
        "provenance": "executed",
        "version_tag": version,
        "git_commit_hash": "abc123def456",
        "git_branch": "main",
        "status": "success",
        "artifact_digest": "sha256:" + "0" * 64,
        "artifact_size_bytes": 1,
        "spec": {},
        "tests_passed": 245,
        "tests_failed": 0,
        "code_coverage_percent": 88.5,
    }


@pytest.fixture(scope="module")
def end(rows: Sessions):
    """Writes what the worker writes when a deployment ends; `build`: what became of its build, None: it has none."""

    async def end(
        deployment_id: str, status: str, *, operation: str = "failed", build: dict[str, Any] | None = None
    ) -> None:
        async with transaction(rows) as session:
            deployment = await session.get_one(Deployment, UUID(deployment_id))
            deployment.status, deployment.completed_at = status, now()
            record = await session.get_one(Operation, deployment.operation_id)
            record.status, record.completed_at = operation, now()
            for name, value in (build or {}).items():
                setattr(await session.get_one(Build, deployment.build_id), name, value)

    return end


async def make_live(session: Any, operation: Operation, deployment: Deployment, build: Build) -> None:
    """Write what the worker writes when a deployment has gone live."""
    operation.status, operation.progress_percent, operation.completed_at = "completed", 100, now()
    deployment.status, deployment.health_check_status = "success", "healthy"
    deployment.started_at, deployment.completed_at = now() - timedelta(minutes=15), now()
    release = Release(
        id=deployment.id,
        organization_id=deployment.organization_id,
        environment_id=deployment.environment_id,
        deployment_id=deployment.id,
        build_id=build.id,
        artifact_digest="sha256:00",
        service={},
        replicas=1,
        state="active",
        was_healthy=True,
        promoted_at=now(),
    )
    session.add(release)
    environment = await session.get_one(Environment, deployment.environment_id)
    environment.previous_release_id, environment.current_release_id = environment.current_release_id, deployment.id
