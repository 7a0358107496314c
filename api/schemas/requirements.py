"""Requirements on the wire."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas.base import (
    MAX_INT,
    MAX_LIST,
    MAX_TEXT,
    Body,
    Lines,
    NotBlank,
    Storable,
    Text,
    Texts,
    Timestamp,
    View,
    Whole,
)


class Priority(StrEnum):
    """The contract's priorities."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class UserStory(Body):
    """One story of a requirement."""

    title: Text | None = None
    description: Text | None = None
    acceptance_criteria: Texts = Field(default_factory=list)


class RequirementCreate(Body):
    """What a new requirement says."""

    title: Annotated[str, StringConstraints(min_length=3, max_length=MAX_TEXT), Storable, NotBlank]
    description: Text
    user_stories: Annotated[list[UserStory], Field(max_length=MAX_LIST)] = Field(default_factory=list)
    acceptance_criteria: Annotated[list[Text], Field(min_length=1, max_length=MAX_LIST)]
    priority: Priority | None = None
    estimated_effort_points: Whole | None = Field(default=None, ge=0, le=MAX_INT)
    tags: Lines = Field(default_factory=list)


class RequirementView(View):
    """A requirement."""

    id: UUID
    project_id: UUID
    title: str
    description: str
    user_stories: list[dict[str, object]]
    acceptance_criteria: list[str]
    priority: Priority | None
    status: str
    estimated_effort_points: int | None
    tags: list[str]
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp
