"""Inserts rows with a slug and a host label, both unique, and reports which of them is taken."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode
from domain.host_labels import host_label, with_suffix

TRIES = 5


async def insert_labelled(
    session: AsyncSession,
    model: Any,
    values: Mapping[str, Any],
    *,
    slug_taken: Select[Any],
    unique: Callable[[], str],
) -> None:
    """Insert a row whose label is derived from its slug, with a suffix if the label is taken.

    Args:
        session: the transaction.
        model: a table with `slug` and `host_label`.
        values: its columns except the label.
        slug_taken: finds a row if the slug is taken.
        unique: generates suffixes of lower-case letters and digits.

    Raises:
        ConflictError: DUPLICATE_SLUG.
    """
    slug = values["slug"]
    label = host_label(slug)
    for _ in range(TRIES):
        statement = insert(model).values(**values, host_label=label).on_conflict_do_nothing().returning(model.id)
        if await session.scalar(statement) is not None:
            return
        if await session.scalar(slug_taken) is not None:
            break
        label = with_suffix(host_label(slug), unique())
    raise slug_already_taken(slug)


def slug_already_taken(slug: str) -> ConflictError:
    """The error for a slug that is taken."""
    return ConflictError(
        f"the slug {slug!r} is taken; choose another one", code=ErrorCode.DUPLICATE_SLUG, details={"slug": slug}
    )
