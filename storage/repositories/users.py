"""People. A tenant sees those who are its members; the platform, and whoever logs somebody in, sees all."""

import hashlib

from sqlalchemy import Select, func, select

from storage.models import Membership, User
from storage.repositories.base import Repository

_BOOTSTRAP_LOCK = 7_316_015


class UserRepository(Repository[User]):
    """Users by id (`get`) and by address."""

    model = User
    noun = "user"

    def base(self) -> Select[User]:
        statement = select(User)
        if self.tenant.organization_id is None:
            return statement
        members = self.tenant.filter(select(Membership.user_id), Membership.organization_id)
        return statement.where(User.id.in_(members))

    async def by_email(self, email: str) -> User | None:
        """Whoever has this address (in lower case, see `domain.emails.normal_email`)."""
        return await self.session.scalar(self.base().where(User.email == email))

    async def hold_email(self, email: str) -> None:
        """Until the transaction ends nobody else makes a user of this address: look for one afterwards."""
        lock = int.from_bytes(hashlib.sha256(f"user\n{email}".encode()).digest()[:8], "big") >> 1
        await self.session.execute(select(func.pg_advisory_xact_lock(lock)))

    async def hold_bootstrap(self) -> None:
        """Until the transaction ends nobody else makes the first platform admin."""
        await self.session.execute(select(func.pg_advisory_xact_lock(_BOOTSTRAP_LOCK)))

    async def platform_admins(self) -> int:
        """How many there are who can log in."""
        admins = self.base().where(User.is_platform_admin, User.disabled_at.is_(None))
        return await self.session.scalar(select(func.count()).select_from(admins.subquery())) or 0
