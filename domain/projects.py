"""Projects: their states and kinds."""

from enum import StrEnum


class ProjectStatus(StrEnum):
    """The contract's states of a project."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"


class RepositoryType(StrEnum):
    """The contract's version control systems; only git is built."""

    GIT = "git"
    SVN = "svn"


class Visibility(StrEnum):
    """Who may see a project."""

    PRIVATE = "private"
    INTERNAL = "internal"
    PUBLIC = "public"


class TemplateType(StrEnum):
    """What kind of software a project is."""

    MICROSERVICE = "microservice"
    MONOLITH = "monolith"
    MOBILE = "mobile"
    WEB = "web"
