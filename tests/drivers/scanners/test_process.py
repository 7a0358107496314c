"""What a tool that was taken over, or is broken, can do: nothing, and it is said."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from drivers.scanners.base import Report, ScannerFaultError, ScanOrder, Sources
from drivers.scanners.process import MAX_OUTPUT, Command, Ran, ToolLimits, ToolProcesses
from drivers.scanners.readers.hadolint import read_hadolint
from drivers.scanners.registry import Scanners
from drivers.scanners.tools import LimitedReader
from runtime.limited import LimitedProcesses
from tests.drivers.scanners.conftest import seen
from tests.drivers.shim.helpers import marker, running, until


def shell(script: str, **more: Any) -> Command:
    return replace(Command(tool="tool", argv=("/bin/sh", "-c", script)), **more)


async def run(processes: ToolProcesses, order: ScanOrder, script: str, timeout_s: float = 60, **more: Any) -> Ran:
    return await processes.run(shell(script, **more), seen(order), timeout_s=timeout_s)


async def fault(processes: ToolProcesses, order: ScanOrder, script: str, timeout_s: float = 60, **more: Any) -> str:
    with pytest.raises(ScannerFaultError) as caught:
        await run(processes, order, script, timeout_s, **more)
    return str(caught.value)


async def test_it_sees_the_tree_where_the_build_had_it_and_has_a_bare_environment(
    processes: ToolProcesses, order: ScanOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "planted")
    (order.tree / "file").write_text("of the tree")
    ran = await run(processes, order, "pwd; cat file; echo; env")
    words = ran.output.read_text().splitlines()
    assert words[:2] == [ran.seen_at, "of the tree"]
    names = {line.split("=")[0] for line in words[2:]}
    assert names - {"DELIVERY_SHIM"} == {"PATH", "HOME", "TMPDIR", "LANG", "PWD"}


async def test_it_cannot_write_into_the_tree(isolated: ToolProcesses, order: ScanOrder) -> None:
    (order.tree / "file").write_text("as it was")
    await run(isolated, order, "echo changed > file; rm file; touch other; true")
    assert [(path.name, path.read_text()) for path in order.tree.iterdir()] == [("file", "as it was")]


async def test_it_has_no_network(isolated: ToolProcesses, order: ScanOrder) -> None:
    ran = await run(isolated, order, "cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /proc/net/route | wc -l")
    assert ran.output.read_text().split() == ["lo", "1"]


async def test_it_does_not_see_what_else_the_engine_has(order: ScanOrder, isolated: ToolProcesses) -> None:
    (order.scratch.parent / "other.log").write_text("of another tenant")
    words = await fault(isolated, order, f"cat '{order.scratch.parent}/other.log'")
    assert words == "ended with exit code 1"


async def test_one_that_hangs_is_ended(processes: ToolProcesses, order: ScanOrder) -> None:
    mark = marker()
    words = await fault(processes, order, f"trap '' TERM; sleep {mark} & sleep {mark}", timeout_s=1)
    assert words == "took longer than 1 s and was ended"
    await until(lambda: not running(mark), "its processes to end")


async def test_one_that_crashes_is_a_fault(processes: ToolProcesses, order: ScanOrder) -> None:
    assert await fault(processes, order, "kill -SEGV $$") == "was ended by signal 11"
    assert await fault(processes, order, "echo fine; exit 3") == "ended with exit code 3"
    assert "ended with exit code 12" in await fault(processes, order, "exec ./not-there")


async def test_only_some_may_say_why(processes: ToolProcesses, order: ScanOrder) -> None:
    script = "echo first >&2; echo 'no database' >&2; exit 2"
    assert await fault(processes, order, script) == "ended with exit code 2"
    assert await fault(processes, order, script, talks=True) == "ended with exit code 2: no database"


async def test_one_that_floods_its_result_is_ended(processes: ToolProcesses, order: ScanOrder) -> None:
    words = await fault(processes, order, "yes garbage", limits=ToolLimits(disk_mb=8))
    assert words in ("wrote more than 8 MiB and was ended", "was ended by signal 25", "ended with exit code 1")
    assert sum(path.stat().st_size for path in order.scratch.rglob("*") if path.is_file()) < 20 << 20


async def test_a_result_that_is_too_large_is_not_read(processes: ToolProcesses, order: ScanOrder) -> None:
    words = await fault(processes, order, f"head -c {MAX_OUTPUT + 1} /dev/zero")
    assert words == "wrote a result of more than 16 MiB"


async def test_one_that_floods_its_words_leaves_a_small_log(processes: ToolProcesses, order: ScanOrder) -> None:
    await run(processes, order, "yes words | head -c 20000000 >&2; echo done")
    assert (order.scratch / "tool" / "log").stat().st_size < 1 << 20


async def test_one_that_writes_much_is_ended(processes: ToolProcesses, order: ScanOrder) -> None:
    script = 'i=0; while true; do head -c 1000000 /dev/zero > "$TMPDIR/$i"; i=$((i + 1)); done'
    words = await fault(processes, order, script, limits=ToolLimits(disk_mb=8))
    assert words == "wrote more than 8 MiB and was ended"


async def test_one_that_forks_is_ended(processes: ToolProcesses, order: ScanOrder) -> None:
    mark = marker()
    script = f"i=0; while [ $i -lt 60 ]; do sleep {mark} & i=$((i + 1)); done; wait"
    words = await fault(processes, order, script, limits=ToolLimits(processes=20))
    assert words in ("had more than 20 processes and threads at once and was ended", "ended with exit code 2")
    await until(lambda: not running(mark), "its processes to end")


async def test_one_that_eats_memory_is_ended(order: ScanOrder, isolated: ToolProcesses) -> None:
    small = ToolProcesses(trusted=False, memory_mb=64)
    script = "python3 -c 'x = bytearray(300 << 20); import time; time.sleep(600)'"
    assert await fault(small, order, script) == "used more than 64 MiB of memory and was ended"


async def test_what_it_leaves_running_ends_with_it(processes: ToolProcesses, order: ScanOrder) -> None:
    mark = marker()
    await run(processes, order, f"setsid sleep {mark} >/dev/null 2>&1 & echo '[]'")
    await until(lambda: not running(mark), "its processes to end")


async def test_a_link_in_the_place_of_its_result_is_not_followed(processes: ToolProcesses, order: ScanOrder) -> None:
    secret = order.scratch.parent / "secret"
    secret.write_text("[]")
    out = 'd="$(dirname "$TMPDIR")/state"; rm "$d/output"; '
    words = await fault(processes, order, f"{out} ln -s '{secret}' \"$d/output\"")
    assert words == "left something that is no file in the place of its result"
    assert await fault(processes, order, f'{out} mkfifo "$d/output"') == words
    assert await fault(processes, order, out) == "left no result"


async def test_cancelling_ends_it(processes: ToolProcesses, order: ScanOrder) -> None:
    mark = marker()
    task = asyncio.create_task(run(processes, order, f"sleep {mark}"))
    await until(lambda: running(mark), "it to run")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not running(mark), "its processes to end")


async def test_a_second_attempt_ends_the_first(processes: ToolProcesses, order: ScanOrder) -> None:
    mark = marker()
    first = asyncio.create_task(fault(processes, order, f"sleep {mark}"))
    await until(lambda: running(mark), "it to run")
    ran = await run(processes, order, "echo second")
    assert ran.output.read_text() == "second\n"
    assert await first == "was ended from outside"
    await until(lambda: not running(mark), "its processes to end")


class Pretender:
    """A scanner whose tool says what the test wants."""

    name = "pretender"

    def __init__(self, processes: ToolProcesses, limited: LimitedProcesses, script: str) -> None:
        self._processes, self._reader, self._script = processes, LimitedReader(limited), script

    def suits(self, sources: object) -> bool:
        return True

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        ran = await self._processes.run(shell(self._script), sources, timeout_s=timeout_s)
        return await self._reader.read(read_hadolint, ran, "1", [])


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("true", "it wrote nothing"),
        ("echo garbage", "it wrote a result that is no JSON, or only half of it"),
        ('printf \'[{"code": "DL3006", "fi\'', "it wrote a result that is no JSON, or only half of it"),
        ("head -c 1000 /dev/urandom", "it wrote a result that is no JSON, or only half of it"),
        ("echo '{\"fine\": true}'", "it wrote a result without results"),
        ("echo '[1, 2]'", "it wrote results that are no objects"),
        ("head -c 3000000 /dev/zero | tr '\\0' '['", "it wrote a result that is no JSON, or only half of it"),
        ("sleep 600", "it took longer than 1 s and was ended"),
        ("exit 9", "it ended with exit code 9"),
    ],
)
async def test_a_scan_says_what_is_wrong_with_a_tool(
    isolated: ToolProcesses, order: ScanOrder, limited: LimitedProcesses, script: str, words: str
) -> None:
    timeout_s = 1 if script.startswith("sleep") else 120
    scanners = Scanners([Pretender(isolated, limited, script)])
    result = await scanners.scan(replace(order, timeout_s=timeout_s))
    said = [run.fault for run in result.tools]
    assert (said, result.findings) == ([words], ())


async def test_a_result_that_takes_much_memory_to_read_is_a_fault(
    isolated: ToolProcesses, order: ScanOrder, limited: LimitedProcesses
) -> None:
    """Empty lists are two bytes in a file, and some fifty when they are read."""
    (order.tree / "many.json").write_text("[" + "[]," * 5_000_000 + "[]]")
    script = "cat many.json"
    result = await Scanners([Pretender(isolated, limited, script)]).scan(order)
    assert result.tools[0].fault
    assert result.tools[0].fault.startswith("it wrote")


async def test_odd_values_in_a_result_are_left_out_or_cut(
    isolated: ToolProcesses, order: ScanOrder, limited: LimitedProcesses
) -> None:
    (order.tree / "Dockerfile").write_text("FROM scratch\n")
    rows = [
        '{"code": "DL1", "file": "../../etc/passwd", "line": 1, "level": "error", "message": "out"}',
        '{"code": "DL2", "file": "/etc/passwd", "line": 1, "level": "error", "message": "out"}',
        '{"code": "DL3", "file": "./Dockerfile", "line": "one", "level": 5, "message": ["no", "text"]}',
        '{"code": "DL4", "file": "./Dockerfile", "line": 1e99, "level": "error", "message": "a\\u0000b\\u202e"}',
        '{"code": 5, "file": "./Dockerfile", "line": -1, "level": "error", "message": "' + "x" * 100_000 + '"}',
        '{"code": "DL6", "file": "./Docker\\nfile", "line": 1, "level": "error", "message": "m"}',
    ]
    (order.tree / "told.json").write_text("[" + ",".join(rows) + "]")
    result = await Scanners([Pretender(isolated, limited, "cat told.json")]).scan(order)
    assert [run.fault for run in result.tools] == [None]
    found = {each.rule: (each.location and each.location.line, len(each.title)) for each in result.findings}
    assert found.keys() == {"DL3", "DL4", "unnamed"}
    assert found["unnamed"] == (None, 512)
    assert "hadolint: 3 results name places out of the service's folder and were left out" in result.notices
