"""Organizations: the tenants themselves."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.rate_limits import Allowance, Plan, allowance_of
from storage.models import Organization
from storage.repositories.base import Page, PageRequest, Repository
from storage.repositories.unique_slugs import insert_labelled


class OrganizationRepository(Repository[Organization]):
    """A tenant sees itself; the platform sees all."""

    model = Organization
    noun = "organization"

    def base(self) -> Select[Organization]:
        return self.tenant.filter(select(Organization), Organization.id)

    async def create(self, values: Mapping[str, Any], unique: Callable[[], str]) -> Organization:
        """Insert with a unique host label; DUPLICATE_SLUG if the slug is taken. See `insert_labelled`."""
        taken = select(Organization.id).where(Organization.slug == values["slug"])
        await insert_labelled(self.session, Organization, values, slug_taken=taken, unique=unique)
        return await self.session.get_one(Organization, values["id"])

    async def made_by(self, subject: str) -> int:
        """Number of organizations that a person created; locked, so that they create no other one in parallel."""
        lock = int.from_bytes(hashlib.sha256(f"organizations\n{subject}".encode()).digest()[:8], "big") >> 1
        await self.session.execute(select(func.pg_advisory_xact_lock(lock)))
        found = select(func.count()).select_from(Organization).where(Organization.created_by == subject)
        return await self.session.scalar(found) or 0

    async def search(self, *, status: str | None, text: str | None, request: PageRequest) -> Page[Organization]:
        """Organizations by status, and by a part of their name or slug."""
        statement = self.base()
        if status is not None:
            statement = statement.where(Organization.status == status)
        if text:
            found = [column.icontains(text, autoescape=True) for column in (Organization.name, Organization.slug)]
            statement = statement.where(or_(*found))
        return await self.page(statement, request)


async def allowances(session: AsyncSession, ids: Sequence[UUID]) -> Mapping[UUID, Allowance]:
    """The rate limits of organizations, for any tenant."""
    columns = Organization.requests_per_minute, Organization.requests_per_hour, Organization.requests_per_day
    rows = await session.execute(select(Organization.id, Organization.plan, *columns).where(Organization.id.in_(ids)))
    return {row[0]: allowance_of(Plan(row[1]), *row[2:]) for row in rows}
