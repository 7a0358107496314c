"""How rows of resources are written: whatever has to happen beside a change, in its transaction, has its place here."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Base


async def add(session: AsyncSession, row: Base) -> None:
    """Insert a row, and read back what the database filled in."""
    session.add(row)
    await session.flush()
    await session.refresh(row)


async def change(session: AsyncSession, row: Base, values: Mapping[str, Any]) -> None:
    """Give columns of a locked row new values; when they are the old ones, nothing is written."""
    for name, value in values.items():
        setattr(row, name, value)
    if session.is_modified(row):
        await session.flush()
        await session.refresh(row)


async def remove(session: AsyncSession, row: Base) -> None:
    """Delete a locked row, and what the database deletes with it."""
    await session.delete(row)
    await session.flush()
