"""Real parts for every test: PostgreSQL, databases migrated from a template, Temporal. All die with the session."""

import asyncio
import gc
import importlib.util
import inspect
import itertools
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from sqlalchemy import create_engine as create_sync_engine
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from runtime.settings import Settings, get_settings
from runtime.stack import binaries, logfile
from runtime.stack.postgres import ROLE, Postgres
from runtime.stack.process import Process
from runtime.stack.temporal import TUNING
from storage import engine
from storage.engine import Sessions, create_engine, create_sessions
from storage.models import Base
from tests.support.deep import by_depth
from tests.support.signing import AsTheApi

# Properties are checked with the same examples everywhere, however busy the machine, and nothing is kept: the checkout
# may be read-only. `make test` tries some of the examples, `make test-deep` all.
settings.register_profile(
    "repeatable",
    max_examples=by_depth(short=25, long=100),
    database=None,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

_SCRIPTS = Path(sys.executable).parent
_TEMPLATE = "template_delivery"
_names = (f"t{number}_{secrets.token_hex(3)}" for number in itertools.count(1))


def pytest_configure() -> None:
    """What is imported lives as long as the session: nothing of it is garbage (see runtime/start.py)."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A property has a short and a long form by itself."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.shortened)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def patient_database() -> Iterator[None]:
    """On a busy machine a connection may take seconds, and whoever is the twentieth waits long for a lock.

    What happens to one that is never made, and at a limit, has tests of its own, with limits of their own.
    """
    with pytest.MonkeyPatch.context() as patched:
        for limit in ("CONNECT_TIMEOUT_S", "POOL_TIMEOUT_S", "STATEMENT_TIMEOUT_S", "LOCK_TIMEOUT_S"):
            patched.setattr(engine, limit, 60)
        yield


@pytest.fixture(autouse=True)
def settings_of_this_test() -> Iterator[None]:
    """A process reads its settings once; here each test has its own environment."""
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A folder under /tmp whose paths leave room for a unix socket's name (107 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="de-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Ports nobody listens on; never the same one twice in a session."""
    return _free_port


@pytest.fixture(scope="session")
def postgres(short_dir: Path) -> Iterator[Postgres]:
    """A server of our own. Without fsync: its data is worth nothing after the session."""
    log = short_dir / "postgres.log"
    server = Postgres(
        binaries.postgres_dir(Settings()),
        short_dir,
        short_dir,
        short_dir,
        log,
        configuration={
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            # Whose connecting was cancelled keeps a socket until it is collected; no database is dropped meanwhile.
            "authentication_timeout": "10s",
        },
    )
    server.prepare()
    server.clear()
    process = Process(server.command(), short_dir / "postgres.json")
    process.start()
    try:
        _wait(lambda: server.probe(process.pid or 0), log)
        server.settle()
        yield server
    finally:
        process.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """SQLAlchemy's address of the maintenance database, as superuser."""
    return postgres.admin_url()


@pytest.fixture(scope="session")
def _template(postgres: Postgres) -> str:
    """A database with all tables, copied file by file by `database_url`."""
    _administer(postgres, f'CREATE DATABASE "{_TEMPLATE}" OWNER {ROLE}')
    _migrate(postgres.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="module")
def database_url(postgres: Postgres, _template: str) -> Iterator[str]:
    """An empty, migrated database for this test module."""
    name = next(_names)
    _administer(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{_template}" OWNER {ROLE} STRATEGY FILE_COPY')
    yield postgres.url(name)
    _administer(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """Sessions on this module's database."""
    engine = create_engine(database_url, application_name="tests")
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="session")
def _temporal_server(short_dir: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """Started by ourselves: the SDK gives a server five seconds to be there, which are too few on a busy machine."""
    port, log = _free_port(), short_dir / "temporal.log"
    where = ("--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "error")
    with log.open("wb") as output:
        argv = [_SCRIPTS / "temporal", "server", "start-dev", *where, *TUNING]
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield f"127.0.0.1:{port}", server, log
    finally:
        server.terminate()
        server.wait(120)


@pytest.fixture(scope="session")
async def temporal_env(_temporal_server: tuple[str, subprocess.Popen[bytes], Path]) -> WorkflowEnvironment:
    """A dev server in memory, with the web UI off and the engine's search attributes."""
    return WorkflowEnvironment.from_client(await _connected(*_temporal_server))


async def _connected(address: str, server: subprocess.Popen[bytes], log: Path, limit_s: float = 240.0) -> Client:
    """A client, once the server has its namespace."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            client = await Client.connect(address, data_converter=pydantic_data_converter, interceptors=[AsTheApi()])
            await client.count_workflows()
        except (RuntimeError, RPCError) as fault:
            if server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{fault}\n{logfile.tail(log)}") from fault
            await asyncio.sleep(0.05)
        else:
            return client


@pytest.fixture
def time_skipping_env() -> Callable[[], Awaitable[AbstractAsyncContextManager[WorkflowEnvironment]]]:
    """Makes a server whose clock jumps over sleeps: `async with await time_skipping_env() as env:`.

    Its clock is global: one workflow at a time.
    """

    async def start() -> AbstractAsyncContextManager[WorkflowEnvironment]:
        return await WorkflowEnvironment.start_time_skipping(
            data_converter=pydantic_data_converter,
            interceptors=[AsTheApi()],
            test_server_existing_path=str(_SCRIPTS / "temporal-test-server"),
        )

    return start


_given: set[int] = set()


def _free_port() -> int:
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def _wait(probe: Callable[[], str | None], log: Path, limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while reason := probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{reason}\n{logfile.tail(log)}")
        time.sleep(0.05)


def _administer(postgres: Postgres, statement: str) -> None:
    url = postgres.admin_url().replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True, connect_timeout=60) as connection:
        connection.execute(statement.encode())


def _migrate(url: str) -> None:
    if importlib.util.find_spec("storage.migrations") is not None:
        migrations = importlib.import_module("storage.migrations")
        if hasattr(migrations, "upgrade"):
            done = migrations.upgrade(url)
            if inspect.isawaitable(done):
                asyncio.run(_finish(done))
            return
    engine = create_sync_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()


async def _finish(awaitable: Awaitable[object]) -> None:
    await awaitable
