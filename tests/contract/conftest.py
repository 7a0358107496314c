"""The API of tests/api, and its documents."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from api.openapi.files import contents
from tests.api.conftest import (
    app,
    build_of,
    caller,
    one_document,
    operations,
    other_world,
    patient_health,
    plain_logs,
    platform,
    quick_secrets,
    recorder,
    rows,
    settings,
    world,
)
from tests.contract import sections
from tests.fuzz.conftest import served

__all__ = [
    "app",
    "build_of",
    "caller",
    "one_document",
    "operations",
    "other_world",
    "patient_health",
    "plain_logs",
    "platform",
    "quick_secrets",
    "recorder",
    "rows",
    "served",
    "settings",
    "world",
]

HERE = Path(__file__).parent
SECTION = "section of the contract"
_passed: list[tuple[str, bool]] = []


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Notes which sections of the contract a test shows."""
    for item in items:
        if isinstance(item, pytest.Function) and HERE in item.path.parents:
            endpoint = item.callspec.params.get("endpoint") if hasattr(item, "callspec") else None
            found = sections.sections_of(item.originalname, endpoint.name if endpoint else None)
            item.user_properties += [(SECTION, section) for section in found]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers what became of them: a test that could not begin shows nothing either."""
    if report.when == "call" or report.failed:
        _passed.extend((str(value), report.passed) for key, value in report.user_properties if key == SECTION)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints which sections of the contract work."""
    if _passed:
        terminalreporter.section("the contract, section by section")
        for line in sections.table(_passed):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """The documents as they would be written, by file name."""
    return dict(contents())


@pytest.fixture(scope="session")
def document(texts: dict[str, str]) -> dict[str, Any]:
    return json.loads(texts["openapi.json"])
