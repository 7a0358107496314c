"""Who is asking: every repository filters by it in its base statement."""

from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select

R = TypeVar("R", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Tenant:
    """The organization whose rows may be seen; `PLATFORM` (None) sees all: platform admins and the worker."""

    organization_id: UUID | None

    def filter(self, statement: Select[R], column: Any) -> Select[R]:
        """The statement restricted to this tenant's rows."""
        if self.organization_id is None:
            return statement
        condition: ColumnElement[bool] = column == self.organization_id
        return statement.where(condition)


PLATFORM = Tenant(None)
