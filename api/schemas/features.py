"""Features in requests and responses."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.base import MAX_NAME, Body, SaidText, Text, Timestamp, View, Whole, one_line
from api.schemas.patches import Patch
from domain.planning import FeatureStatus

Name = Annotated[str, StringConstraints(min_length=2, max_length=MAX_NAME), one_line(2, MAX_NAME)]


class FeatureCreate(Body):
    """A new feature."""

    name: Name
    description: SaidText
    implementation_notes: Text | None = None
    complexity_points: Whole | None = Field(default=None, ge=1, le=13)
    developer_id: UUID | None = None


class FeaturePatch(Patch):
    """Changes of a feature; its status has a route of its own."""

    name: Name = ""
    description: SaidText = ""
    implementation_notes: Text | None = None
    complexity_points: Whole | None = Field(default=None, ge=1, le=13)
    developer_id: UUID | None = None


class FeatureStatusChange(Body):
    """A feature's new implementation status."""

    status: FeatureStatus
    blocked_reason: Text | None = None


class FeatureView(View):
    """A feature."""

    id: UUID
    requirement_id: UUID
    project_id: UUID
    name: str
    description: str
    implementation_notes: str | None
    implementation_status: FeatureStatus
    blocked_reason: str | None
    complexity_points: int | None
    developer_id: UUID | None
    created_at: Timestamp
    updated_at: Timestamp
