"""Test cases and test results in requests and responses."""

import json
import math
import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from api.schemas.base import (
    MAX_INT,
    MAX_LIST,
    MAX_NAME,
    MAX_URL,
    Body,
    Decimal,
    Line,
    SaidText,
    Text,
    Timestamp,
    View,
    Whole,
    one_line,
)
from api.schemas.patches import Patch
from domain.planning import Priority
from domain.testing import MAX_LOG_ENTRIES, ResultStatus, TestType

MAX_DEPTH = 20
_SURROGATE = re.compile("[\ud800-\udfff]")


def _number(value: object) -> object:
    """JSON has one kind of number, but true and text are not numbers."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into a fault
    return value


def _check_storable(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str) and ("\x00" in value or _SURROGATE.search(value)):
        raise ValueError("must not contain NUL characters or lone surrogates")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not contain numbers that are not finite")
    if isinstance(value, dict | list):
        for part in (*value.keys(), *value.values()) if isinstance(value, dict) else value:
            _check_storable(part, depth + 1)


def _entry(value: dict[str, Any]) -> dict[str, Any]:
    """Any JSON that PostgreSQL can store; Python's parser accepts more than JSON."""
    _check_storable(value)
    return value


Name = Annotated[str, StringConstraints(min_length=3, max_length=MAX_NAME), one_line(3, MAX_NAME)]
Path = Annotated[str, StringConstraints(max_length=MAX_URL), one_line(0, MAX_URL)]
Count = Annotated[Whole, Field(ge=0, le=MAX_INT)]
Percent = Annotated[float, BeforeValidator(_number), Field(ge=0, le=100, allow_inf_nan=False)]
Logs = Annotated[list[Annotated[dict[str, Any], AfterValidator(_entry)]], Field(max_length=MAX_LOG_ENTRIES)]


class Step(Body):
    """One step of a test case. Numbers begin at 1 and rise."""

    step_number: Whole = Field(ge=1, le=MAX_INT)
    action: SaidText
    expected_result: SaidText


Steps = Annotated[list[Step], Field(min_length=1, max_length=MAX_LIST)]


class CaseCreate(Body):
    """A new test case."""

    name: Name
    description: SaidText
    test_type: TestType | None = None
    priority: Priority | None = None
    steps: Steps
    expected_result: SaidText
    automated: Annotated[bool, Field(strict=True)] = False
    automation_tool: Line | None = None
    automation_script_path: Path | None = None


class CasePatch(Patch):
    """Changes of a test case; steps are replaced as a whole."""

    name: Name = ""
    description: SaidText = ""
    test_type: TestType | None = None
    priority: Priority | None = None
    steps: Steps = Field(default_factory=list)
    expected_result: SaidText = ""
    automated: Annotated[bool, Field(strict=True)] = False
    automation_tool: Line | None = None
    automation_script_path: Path | None = None


class StepView(View):
    """One step of a test case."""

    step_number: int
    action: str
    expected_result: str


class CaseView(View):
    """A test case."""

    id: UUID
    feature_id: UUID
    project_id: UUID
    name: str
    description: str
    test_type: TestType | None
    priority: Priority | None
    steps: list[StepView]
    expected_result: str
    automated: bool
    automation_tool: str | None
    automation_script_path: str | None
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp


class ResultCreate(Body):
    """One run of a test case. Durations are in milliseconds."""

    status: ResultStatus
    duration_ms: Count
    error_message: Text | None = None
    assertions_run: Count
    assertions_passed: Count
    assertions_failed: Count
    code_coverage_percent: Percent | None = None
    logs: Logs = Field(default_factory=list)

    def log_bytes(self) -> int:
        """The size of the logs as JSON in UTF-8."""
        return len(json.dumps(self.logs, ensure_ascii=False, separators=(",", ":")).encode())


class ResultView(View):
    """One run of a test case. `build_id`: the build whose tests were it; null: it was reported by itself."""

    id: UUID
    test_case_id: UUID
    build_id: UUID | None
    status: ResultStatus
    duration_ms: int
    error_message: str | None
    assertions_run: int
    assertions_passed: int
    assertions_failed: int
    code_coverage_percent: Decimal | None
    logs: list[dict[str, Any]]
    recorded_by: str
    executed_at: Timestamp
    created_at: Timestamp
