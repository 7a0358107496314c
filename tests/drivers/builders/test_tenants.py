"""Builds that take what is everybody's: they are ended with their reason, and the build beside them goes on."""

import asyncio

import pytest

from activities.builds import failure
from domain.errors import ErrorCode
from drivers.builders.base import Builder, Limits
from tests.drivers.builders.workspace import Workspace
from tests.drivers.shim.helpers import marker, with_argument

LIMITS = Limits(processes=100, disk_mb=20, memory_mb=100, timeout_s=60)
BOMB = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)"
CASES = {
    "a fork bomb": (f'python3 -c "{BOMB}" {{mark}}', ErrorCode.BUILD_PROCESS_LIMIT),
    "a full workspace": (
        "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=part$i bs=1M count=4; done; sleep 60",
        ErrorCode.BUILD_DISK_LIMIT,
    ),
    "a full TMPDIR": (
        'for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of="$TMPDIR/part$i" bs=1M count=4; done; sleep 60',
        ErrorCode.BUILD_DISK_LIMIT,
    ),
    "a full HOME": (
        'for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of="$HOME/part$i" bs=1M count=4; done; sleep 60',
        ErrorCode.BUILD_DISK_LIMIT,
    ),
    "one big file": ("dd if=/dev/zero of=big bs=1M count=100", ErrorCode.BUILD_DISK_LIMIT),
    "one big file, told in words": (
        "python3 -c \"open('big', 'wb').truncate(100_000_000)\"",
        ErrorCode.BUILD_DISK_LIMIT,
    ),
    "memory": ("python3 -c 'b = bytearray(200_000_000); input()' < /dev/zero", ErrorCode.BUILD_MEMORY_LIMIT),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_greedy_build_is_ended_and_named_and_anothers_goes_on(
    builder: Builder, workspace: Workspace, case: str
) -> None:
    mark = marker()
    step, code = CASES[case]
    other = Workspace.below(workspace.tree.parent.parent / "other tenant")
    beside = asyncio.create_task(builder.run(other.request("until [ -e over ]; do sleep 0.05; done", key="other")))
    request = workspace.request(step.replace("{mark}", mark), limits=LIMITS)
    result = await builder.run(request)
    error = failure(result, request, "build step 1", ErrorCode.BUILD_FAILED)
    assert error.code is code, result
    assert with_argument(mark) == []
    assert not beside.done()
    (other.tree / "over").touch()
    assert (await beside).exit_code == 0


async def test_an_ordinary_build_in_parallel_passes_under_the_limits(builder: Builder, workspace: Workspace) -> None:
    step = "for i in $(seq 20); do (echo $i > out$i; sleep 0.3) & done; wait; ls out* | wc -l"
    result = await builder.run(workspace.request(step, limits=LIMITS))
    assert (result.exit_code, result.reason) == (0, "exited")
    assert result.tail.endswith("\n20\n")
