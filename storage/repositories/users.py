"""Users. A tenant sees its members; the platform, and the login, see all."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Select, func, select

from storage.models import Membership, User
from storage.repositories.base import Repository

_BOOTSTRAP_LOCK = 7_316_015
# Maximum number of passwords compared at a login with an unverified email.
MAX_CLAIMANTS = 5


class UserRepository(Repository[User]):
    """Users by id (`get`) and by email."""

    model = User
    noun = "user"

    def base(self) -> Select[User]:
        statement = select(User)
        if self.tenant.organization_id is None:
            return statement
        members = self.tenant.filter(select(Membership.user_id), Membership.organization_id)
        return statement.where(User.id.in_(members))

    async def by_email(self, email: str) -> User | None:
        """The user who has verified this email (in lower case, see `domain.emails.normal_email`)."""
        return await self.session.scalar(self.base().where(User.email == email, User.email_verified_at.is_not(None)))

    async def claimants(self, email: str, *, limit: int = MAX_CLAIMANTS) -> Sequence[User]:
        """Candidates for a login with this email: its owner, or else those who claim it, last used first."""
        owner = await self.by_email(email)
        if owner is not None:
            return [owner]
        return await self.others(email, limit=limit)

    async def others(self, email: str, *, limit: int | None = None) -> Sequence[User]:
        """Users who claim this email without having verified it."""
        statement = self.base().where(User.email == email, User.email_verified_at.is_(None))
        newest = statement.order_by(User.last_login_at.desc().nulls_last(), User.created_at.desc(), User.id)
        return (await self.session.scalars(newest.limit(limit))).all()

    async def hold_email(self, email: str) -> None:
        """Lock the email until the transaction ends; look for existing users afterwards."""
        lock = int.from_bytes(hashlib.sha256(f"user\n{email}".encode()).digest()[:8], "big") >> 1
        await self.session.execute(select(func.pg_advisory_xact_lock(lock)))

    async def hold_bootstrap(self) -> None:
        """Lock the creation of the first platform admin until the transaction ends."""
        await self.session.execute(select(func.pg_advisory_xact_lock(_BOOTSTRAP_LOCK)))

    async def platform_admins(self) -> int:
        """Number of platform admins, including those who cannot log in."""
        admins = self.base().where(User.is_platform_admin)
        return await self.session.scalar(select(func.count()).select_from(admins.subquery())) or 0
