"""The tenant of a request: every repository filters by it in its base statement."""

from dataclasses import dataclass
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select

Columns = TypeVarTuple("Columns")


@dataclass(frozen=True)
class Tenant:
    """The organization whose rows are visible; `PLATFORM` (None) sees all: for platform admins and the worker."""

    organization_id: UUID | None

    def owns(self, organization_id: UUID) -> bool:
        """Whether rows of an organization are visible."""
        return self.organization_id is None or self.organization_id == organization_id

    def filter(self, statement: Select[*Columns], column: Any) -> Select[*Columns]:
        """The statement restricted to this tenant's rows."""
        if self.organization_id is None:
            return statement
        condition: ColumnElement[bool] = column == self.organization_id
        return statement.where(condition)


PLATFORM = Tenant(None)
