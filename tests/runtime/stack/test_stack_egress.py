"""The proxy under the supervisor: killed, it is there again, with the sockets of all sandboxes that live."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.egress.sandboxes import Sandbox, Sandboxes, is_answered
from runtime.settings import Settings
from tests.drivers.egress.way import Listener, connect, tunnel
from tests.runtime.stack.stack_process import StackProcess, until


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with Listener.opened() as made:
        yield made


@pytest.fixture
def stack(tmp_path: Path, listener: Listener) -> Iterator[StackProcess]:
    allowed = {"DELIVERY_CODE_EGRESS": f"127.0.0.1:{listener.port}"}
    made = StackProcess(tmp_path / "my data", DELIVERY_TRUSTED_CODE="false", **allowed)
    yield made
    made.close()


@pytest.mark.deep
async def test_killed_it_is_there_again(stack: StackProcess, listener: Listener, tmp_path: Path) -> None:
    stack.up("egress")
    sandboxes = Sandboxes(Settings(data_dir=stack.data.resolve()).egress_dir)
    door = await sandboxes.open(Sandbox("one", "acme", "shop", tmp_path))
    _, writer = await connect(door)  # open when it is killed
    first = stack.pids()["egress"]
    os.kill(first, signal.SIGKILL)
    until(lambda: stack.pids().get("egress", first) != first and is_answered(door))
    writer.close()
    assert (await tunnel(door, f"127.0.0.1:{listener.port}")).endswith(b"hello")
    assert stack.end(signal.SIGTERM) == 0
    assert not is_answered(door)
    stack.up("egress")
    until(lambda: is_answered(door))
    assert (await tunnel(door, "169.254.169.254:80")).startswith(b"HTTP/1.1 403 ")
