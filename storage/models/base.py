"""Declarative base: naming convention, common columns."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
    }


class Identified:
    """A UUIDv7 primary key, set by the caller."""

    id: Mapped[UUID] = mapped_column(primary_key=True)


class Timestamped:
    """When a row was created and last changed, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


def columns_of(row: Base) -> dict[str, Any]:
    """A row's values by column."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def given(row: Base) -> dict[str, Any]:
    """The values set on a row that is not written yet; the others get their defaults."""
    return {name: value for name, value in columns_of(row).items() if value is not None}
