"""Projects: their states and kinds."""

import re
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


ONLY_GIT = (
    "svn repositories cannot be fetched, only git ones: mirror it into git (`git svn clone` makes a git repository of "
    "it) and give that one's address, with repository_type git"
)
_SVN = re.compile(r"\s*svn(\+[a-z]+)?://", re.IGNORECASE)


def is_svn(url: str) -> bool:
    """Whether a URL is one that only Subversion understands (`svn://`, `svn+ssh://`)."""
    return _SVN.match(url) is not None


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
