"""What strangers wrote (delivery.yaml, reports) is read in processes with limits; the faults, and the loop is free."""

import asyncio
import uuid

import pytest

from activities.sources import read_spec
from activities.test_reports import REPORT_LIMITS, TestReports
from activities.workspaces import BuildFolders
from contracts.builds import RunTests
from domain.delivery_spec import TestSpec
from domain.errors import ErrorCode, TerminalError
from runtime.limited import CostLimits, LimitedProcesses

FILES = {"delivery.yaml": None, "delivery.yml": None, "Procfile": None, "Dockerfile": None}


@pytest.fixture(scope="module")
def limited():
    return LimitedProcesses(("domain.delivery_spec_loader", "activities.reports"))


async def test_a_spec_is_read_as_it_is_in_our_own_process(limited):
    text = "service:\n  command: ./run\n  env: {A: NO}\nenvironments: {dev: {replicas: 2}}\n"
    spec = await read_spec(limited, {**FILES, "delivery.yaml": text})
    assert spec.service.env == {"A": "NO"}
    assert next(iter(spec.environments.values())).replicas == 2


@pytest.mark.parametrize(
    "value",
    [":".join(["1"] * 120_000), ":".join(["1"] * 120_000) + ".5", "9" * 200_000, "1e" + "9" * 200_000, ".inf"],
    ids=["base 60", "base 60 float", "digits", "exponent", "infinite"],
)
async def test_numbers_that_took_a_minute_are_refused_by_file_line_and_key(limited, value):
    text = f"service:\n  command: ./run\nbuild:\n  timeout: {value}\n"
    with pytest.raises(TerminalError, match=r"delivery\.yaml:4:3: build\.timeout: ") as caught:
        await read_spec(limited, {**FILES, "delivery.yaml": text})
    assert caught.value.code is ErrorCode.SPEC_INVALID
    [fault] = caught.value.details["faults"]
    assert (fault["file"], fault["line"], fault["key"]) == ("delivery.yaml", 4, "build.timeout")


async def test_a_file_that_takes_too_much_is_named(limited, monkeypatch):
    monkeypatch.setattr("activities.sources.SPEC_LIMITS", CostLimits(cpu_s=60, wall_s=0.001, memory_mb=64))
    many = "".join(f"k{n}: {{a: [1, 2]}}\n" for n in range(2_000))
    with pytest.raises(TerminalError, match=r"delivery\.yml:1:1: cannot be read: it takes more than") as caught:
        await read_spec(limited, {**FILES, "delivery.yml": many})
    assert caught.value.code is ErrorCode.SPEC_INVALID
    assert caught.value.details["faults"][0]["file"] == "delivery.yml"


@pytest.fixture
def report(limited, tmp_path):
    """Reads a report of a test run, as the activity does after the command."""
    operation = uuid.uuid4()
    folders = BuildFolders(tmp_path)
    folders.tree(operation).mkdir(parents=True)
    reports = TestReports(folders, limited)
    spec = TestSpec(command="true", report="junit.xml", coverage="coverage.xml")
    request = RunTests(operation_id=operation, source_path=".", spec=spec)

    async def read(text: str | None):
        if text is not None:
            (folders.tree(operation) / "junit.xml").write_text(text)
        return await reports.read(request)

    return read


async def test_reports_are_read_and_missing_ones_are_named(report):
    tests, coverage = await report(None)
    assert (tests.summary, tests.missing, tests.faults) == (None, ("junit.xml",), ())
    assert (coverage.coverage, coverage.missing, coverage.faults) == (None, ("coverage.xml",), ())
    tests, coverage = await report("<testsuite><testcase name='a'/></testsuite>")
    assert (tests.summary.total, tests.missing, coverage.coverage) == (1, (), None)


async def test_a_report_of_eight_mebibytes_fits_into_its_limits_and_leaves_the_loop_free(report):
    assert REPORT_LIMITS.memory_mb <= 512
    case = "<testcase classname='c' name='n' time='0.1'><system-out>o</system-out></testcase>"
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    turning = asyncio.create_task(turn())
    tests, _ = await report("<testsuite>" + case * ((8 << 20) // len(case)) + "</testsuite>")
    turning.cancel()
    assert tests.summary.total == (8 << 20) // len(case)
    assert turns > 10


async def test_a_report_that_takes_too_much_is_named(report, monkeypatch):
    monkeypatch.setattr("activities.test_reports.REPORT_LIMITS", CostLimits(cpu_s=60, wall_s=60, memory_mb=1))
    tests, _ = await report("<testsuite>" + "<testcase/>" * 1_000_000 + "</testsuite>")
    [fault] = tests.faults
    assert "the report junit.xml cannot be read: it takes more than" in fault
    assert tests.summary is None


async def test_broken_reports_keep_their_words(report):
    tests, _ = await report("<testsuite>")
    [fault] = tests.faults
    assert fault.startswith("junit.xml: the JUnit report is not XML: ")
