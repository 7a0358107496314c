"""Development tokens: `make token SUB= ROLE= ORG=`."""

import re
from datetime import timedelta

from domain.permissions import Role, permissions_of
from runtime.settings import Settings
from runtime.tokens import Subject, issue_token

# What a mailbox's name is not made of here, though it may be part of a subject.
_LOCAL = re.compile(r"[^A-Za-z0-9._-]")
DEFAULT_SUBJECT = "00000000-0000-7000-8000-000000000001"


def development_token(
    settings: Settings, *, sub: str = "", role: str = "", org: str = "", email: str = "", ttl_s: int = 3600
) -> str:
    """A token with what the role grants; empty arguments mean the defaults (a platform admin).

    Raises:
        ValueError: an unknown role, or a lifetime out of bounds.
        DependencyError: the stack has not made its key yet.
    """
    try:
        chosen = Role(role or Role.PLATFORM_ADMIN)
    except ValueError as error:
        raise ValueError(f"unknown role {role!r}; known are {', '.join(Role)}") from error
    subject = Subject(
        id=sub or DEFAULT_SUBJECT,
        role=chosen,
        permissions=permissions_of(chosen),
        organization=org,
        # A mailbox of their own: users who share one count as one human, and cannot approve for each other.
        email=email or f"{_LOCAL.sub('-', sub)[:64] or chosen}@delivery.localhost",
    )
    return issue_token(settings, subject, timedelta(seconds=ttl_s))
