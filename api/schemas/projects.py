"""Projects in requests and responses."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.base import MAX_LINE, MAX_URL, Body, Lines, Slug, Text, Timestamp, View, one_line
from api.schemas.patches import Patch
from api.schemas.vulnerabilities import SeverityCounts
from domain.delivery_spec import source_path_of
from domain.projects import ONLY_GIT, ProjectStatus, RepositoryType, TemplateType, Visibility, is_svn


class KeptStatus(StrEnum):
    """The states that PATCH can set; delete and restore have routes of their own."""

    ACTIVE = "active"
    ARCHIVED = "archived"


def _works(kind: RepositoryType) -> RepositoryType:
    if kind is not RepositoryType.GIT:
        raise ValueError(ONLY_GIT)
    return kind


def _is_no_svn(url: str) -> str:
    if is_svn(url):
        raise ValueError(ONLY_GIT)
    return url


Name = Annotated[str, StringConstraints(min_length=2, max_length=MAX_LINE), one_line(2)]
RepositoryUrl = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_URL), one_line(1, MAX_URL), AfterValidator(_is_no_svn)
]

SourcePath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        description="folder in the repository with the project's delivery.yaml or Procfile; `.` is the root",
    ),
    AfterValidator(source_path_of),
]


class ProjectCreate(Body):
    """A new project."""

    name: Name
    slug: Slug
    description: Text | None = None
    repository_url: RepositoryUrl
    repository_type: Annotated[
        RepositoryType, AfterValidator(_works), Field(description="`git`; `svn` is refused: mirror it into git")
    ] = RepositoryType.GIT
    source_path: SourcePath = "."
    visibility: Visibility = Visibility.PRIVATE
    template_type: TemplateType | None = None
    tech_stack: Lines = Field(default_factory=list)


class ProjectPatch(Patch):
    """Changes of a project. A new slug does not change the hosts of its environments."""

    name: Name = ""
    slug: Slug = ""
    description: Text | None = None
    repository_url: RepositoryUrl = ""
    source_path: SourcePath = "."
    visibility: Visibility = Visibility.PRIVATE
    template_type: TemplateType | None = None
    tech_stack: Lines = Field(default_factory=list)
    status: KeptStatus = KeptStatus.ACTIVE


class ProjectView(View):
    """A project. `vulnerabilities`: how many count, neither suppressed nor fixed."""

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    description: str | None
    repository_url: str
    repository_type: RepositoryType
    source_path: str
    status: ProjectStatus
    visibility: Visibility
    template_type: TemplateType | None
    owner_id: str | None
    tech_stack: list[str]
    vulnerabilities: SeverityCounts
    created_at: Timestamp
    updated_at: Timestamp
