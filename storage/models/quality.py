"""Test cases and their results."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import JSON, Float, ForeignKey, Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Identified, Timestamped


class TestCase(Identified, Timestamped, Base):
    """How to test a feature; deleted with the feature."""

    __test__: ClassVar[bool] = False
    __tablename__ = "test_cases"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), index=True)
    feature_id: Mapped[UUID] = mapped_column(ForeignKey("features.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    test_type: Mapped[str | None] = mapped_column(String(16))
    priority: Mapped[str | None] = mapped_column(String(16))
    steps: Mapped[list[Any]] = mapped_column(default=list)
    expected_result: Mapped[str] = mapped_column(Text)
    automated: Mapped[bool] = mapped_column(default=False)
    automation_tool: Mapped[str | None] = mapped_column(String(255))
    automation_script_path: Mapped[str | None] = mapped_column(String(2048))
    created_by: Mapped[str] = mapped_column(String(255))


class TestResult(Identified, Timestamped, Base):
    """One run of a test case; deleted with it. `logs` is bounded by `domain.testing`.

    `build_id`: the build whose tests were it; None: it was reported by itself.
    """

    __test__: ClassVar[bool] = False
    __tablename__ = "test_results"
    # One of each build; what a report says is written again when its activity is tried again.
    __table_args__ = (
        Index(
            "uq_test_results_build_id_test_case_id",
            "build_id",
            "test_case_id",
            unique=True,
            postgresql_where=text("build_id IS NOT NULL"),
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    test_case_id: Mapped[UUID] = mapped_column(ForeignKey("test_cases.id", ondelete="CASCADE"))
    build_id: Mapped[UUID | None] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(String(16))
    duration_ms: Mapped[int]
    error_message: Mapped[str | None] = mapped_column(Text)
    assertions_run: Mapped[int]
    assertions_passed: Mapped[int]
    assertions_failed: Mapped[int]
    code_coverage_percent: Mapped[float | None] = mapped_column(Float)
    # As text, not JSONB: numbers come back as they were sent, and 1e300 does not become 300 digits.
    logs: Mapped[list[Any]] = mapped_column(JSON, default=list)
    recorded_by: Mapped[str] = mapped_column(String(255))
    executed_at: Mapped[datetime] = mapped_column(server_default=func.now())
