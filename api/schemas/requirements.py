"""Requirements in requests and responses."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from api.schemas.base import (
    MAX_INT,
    MAX_LIST,
    MAX_NAME,
    Body,
    Lines,
    SaidText,
    Texts,
    Timestamp,
    View,
    Whole,
    one_line,
)
from api.schemas.patches import Patch
from domain.planning import Priority, RequirementStatus


class UserStory(Body):
    """One story of a requirement."""

    title: SaidText | None = None
    description: SaidText | None = None
    acceptance_criteria: Texts = Field(default_factory=list)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.title is None and self.description is None:
            raise ValueError("must have a title or a description")
        return self


Title = Annotated[str, StringConstraints(min_length=3, max_length=MAX_NAME), one_line(3, MAX_NAME)]
UserStories = Annotated[list[UserStory], Field(max_length=MAX_LIST)]
Criteria = Annotated[list[SaidText], Field(min_length=1, max_length=MAX_LIST)]


class RequirementCreate(Body):
    """A new requirement."""

    title: Title
    description: SaidText
    user_stories: UserStories = Field(default_factory=list)
    acceptance_criteria: Criteria
    priority: Priority | None = None
    estimated_effort_points: Whole | None = Field(default=None, ge=0, le=MAX_INT)
    tags: Lines = Field(default_factory=list)


class RequirementPatch(Patch):
    """Changes of a requirement."""

    title: Title = ""
    description: SaidText = ""
    user_stories: UserStories = Field(default_factory=list)
    acceptance_criteria: Criteria = Field(default_factory=list)
    priority: Priority | None = None
    status: RequirementStatus = RequirementStatus.DRAFT
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
    status: RequirementStatus
    estimated_effort_points: int | None
    tags: list[str]
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp
