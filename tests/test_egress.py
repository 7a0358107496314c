"""`python -m egress`: the proxy as a process of the stack."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.egress.sandboxes import Sandbox, Sandboxes, is_answered
from runtime import readiness
from runtime.settings import ROOT, Settings
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout
from runtime.stack.ports import NAMES
from tests.drivers.egress.way import Listener, tunnel
from tests.support.waiting import until


@contextlib.contextmanager
def running(data: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    env = {"DELIVERY_DATA_DIR": str(data), "PATH": "/usr/bin:/bin", **settings}
    process = subprocess.Popen([sys.executable, "-m", "egress"], env=env, cwd=ROOT, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with Listener.opened() as made:
        yield made


def ready(data: Path, process: subprocess.Popen[bytes]) -> bool:
    file = Settings(data_dir=data).egress_ready_file
    return readiness.fault(file, process.pid) is None


async def test_a_killed_proxy_is_replaced_and_the_sockets_of_living_sandboxes_are_there_again(
    tmp_path: Path, listener: Listener
) -> None:
    allowed = {"DELIVERY_CODE_EGRESS": f"127.0.0.1:{listener.port}"}
    sandboxes = Sandboxes(Settings(data_dir=tmp_path).egress_dir)
    with running(tmp_path, **allowed):
        door = await sandboxes.open(Sandbox("one", "acme", "shop", tmp_path))
        assert (await tunnel(door, f"127.0.0.1:{listener.port}")).endswith(b"hello")
        assert (await tunnel(door, "169.254.169.254:80")).startswith(b"HTTP/1.1 403 ")
    await until(lambda: not is_answered(door))
    with running(tmp_path, **allowed) as second:
        await until(lambda: ready(tmp_path, second) and is_answered(door))
        assert (await tunnel(door, f"127.0.0.1:{listener.port}")).endswith(b"hello")
        second.send_signal(signal.SIGTERM)
        _, log = second.communicate(timeout=120)
        assert second.returncode == 0, log
        assert b'"host": "127.0.0.1"' in log
        assert b'"verdict": "allowed"' in log
    assert not Settings(data_dir=tmp_path).egress_ready_file.exists()


def test_wrong_settings_stop_it_with_their_name(tmp_path: Path) -> None:
    with running(tmp_path, DELIVERY_SERVICE_EGRESS="db.internal:0") as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert b"service_egress" in said


@pytest.mark.parametrize("trusted", [True, False])
def test_the_stack_has_it_where_code_is_isolated(tmp_path: Path, *, trusted: bool) -> None:
    settings = Settings(data_dir=tmp_path / "data", runtime_dir=tmp_path / "s", trusted_code=trusted)
    layout = Layout.make(settings)
    parts = Composition(settings, layout, dict.fromkeys(NAMES, 1)).services
    assert ("egress" in [part.name for part in parts]) is not trusted
