"""Shared by the routes of requirements, features, test cases and results: all of them are rows of a project."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.http.envelope import reply
from api.http.links import location
from api.http.preconditions import Condition
from api.schemas.base import View
from api.services import audited_writes
from api.services.projects.lookup import kept_project
from storage.models import Base, Feature, Requirement, TestCase


async def create(request: Request, session: AsyncSession, row: Base, view: type[View], path: str) -> Response:
    """Insert a row and answer 201 with it. `path`: its path, relative to the versioned base."""
    await audited_writes.add(session, row)
    return reply(request, view.model_validate(row), status=201, headers=location(request, path))


async def check_changeable(
    session: AsyncSession,
    principal: Principal,
    row: Requirement | Feature | TestCase,
    view: type[View],
    precondition: Condition,
) -> None:
    """Check that a locked row may be changed.

    Raises:
        ConflictError: INVALID_STATE, its project is deleted.
        PreconditionFailedError: the row has changed since the client read it.
    """
    await kept_project(session, principal.tenant, row.project_id)
    precondition.check(view.model_validate(row))


async def change(
    request: Request, session: AsyncSession, row: Base, values: Mapping[str, Any], view: type[View]
) -> Response:
    """Update a locked row and answer 200 with it."""
    await audited_writes.change(session, row, values)
    return reply(request, view.model_validate(row))
