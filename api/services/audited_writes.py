"""How rows of resources are written, each with its audit entry and its event in the same transaction."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from api.services.audit import row_entry
from api.services.organizations.status import refuse_addition
from domain.audit import difference, removal_of
from storage.models import AuditEntry, Base
from storage.models.base import columns_of, given
from storage.repositories.audit import AuditRepository
from storage.repositories.event_writer import EventWriter
from storage.tenancy import PLATFORM


async def add(
    session: AsyncSession, row: Base, *, action: str = "created", reason: str | None = None, **details: Any
) -> None:
    """Insert a row, and read back what the database filled in; raises what `added` raises."""
    await refuse_addition(session, row)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    await added(session, row, action=action, reason=reason, **details)


async def added(
    session: AsyncSession, row: Base, *, action: str = "created", reason: str | None = None, **details: Any
) -> None:
    """A row was inserted in another way than by `add`; it is in the session, as the database has it.

    Raises:
        ForbiddenError: ORGANIZATION_NOT_ACTIVE, the organization it belongs to is suspended or inactive.
    """
    await refuse_addition(session, row)
    changes = difference({}, given(row))
    await _write(session, row_entry(row, action, changes=changes, reason=reason, details=details))
    await EventWriter(session).created(row)


async def change(
    session: AsyncSession,
    row: Base,
    values: Mapping[str, Any],
    *,
    action: str = "updated",
    reason: str | None = None,
    **details: Any,
) -> None:
    """Update columns of a locked row; without a difference nothing is written.

    Args:
        session: where the row was loaded.
        row: what it was given before without `change` counts as changed, too.
        values: by column.
        action: the verb in the audit log.
        reason: why, in the words of who asked.
        details: more for the audit log.
    """
    for name, value in values.items():
        setattr(row, name, value)
    if not session.sync_session.is_modified(row):
        return
    before = _old_values(row)
    await session.flush()
    await session.refresh(row)
    after = {name: value for name, value in columns_of(row).items() if name in before}
    changes = difference(before, after)
    await _write(session, row_entry(row, action, changes=changes, reason=reason, details=details))
    await EventWriter(session).changed(row, before)


async def remove(
    session: AsyncSession, row: Base, *, action: str | None = None, reason: str | None = None, **details: Any
) -> None:
    """Delete a locked row, and what the database deletes with it."""
    verb = action or removal_of(row.__tablename__)
    entry = row_entry(row, verb, changes=difference(given(row), {}), reason=reason, details=details)
    await session.delete(row)
    await session.flush()
    await _write(session, entry)


async def set_aside(session: AsyncSession, row: Base, values: Mapping[str, Any]) -> None:
    """As `remove`, of a locked row with very much below it: by the values it is gone for everybody but a sweep."""
    entry = row_entry(row, removal_of(row.__tablename__), changes=difference(given(row), {}), reason=None, details={})
    for name, value in values.items():
        setattr(row, name, value)
    await session.flush()
    await _write(session, entry)


def _old_values(row: Base) -> dict[str, Any]:
    """Of the columns that were given another value, the one the database has."""
    old: dict[str, Any] = {}
    for attribute in inspect(row).mapper.column_attrs:
        history = inspect(row).attrs[attribute.key].history
        if history.has_changes():
            old[attribute.key] = history.deleted[0] if history.deleted else None
    return old


async def _write(session: AsyncSession, entry: AuditEntry) -> None:
    await AuditRepository(session, PLATFORM).write(entry)
