"""The API of tests/api, and its documents."""

import json
from typing import Any

import pytest

from api.openapi.files import contents
from tests.api.conftest import (
    app,
    build_of,
    caller,
    operations,
    other_world,
    patient_health,
    plain_logs,
    platform,
    recorder,
    rows,
    settings,
    world,
)
from tests.fuzz.conftest import served

__all__ = [
    "app",
    "build_of",
    "caller",
    "operations",
    "other_world",
    "patient_health",
    "plain_logs",
    "platform",
    "recorder",
    "rows",
    "served",
    "settings",
    "world",
]


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """The documents as they would be written, by file name."""
    return dict(contents())


@pytest.fixture(scope="session")
def document(texts: dict[str, str]) -> dict[str, Any]:
    return json.loads(texts["openapi.json"])
