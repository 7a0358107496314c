from datetime import timedelta
from uuid import UUID

import pytest

from domain.clients import ClientKind
from domain.errors import NotFoundError
from domain.invitations import InvitationStatus
from domain.permissions import Role
from runtime.credentials import digest
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import Client, Invitation, Membership, Organization, User
from storage.repositories.base import PageRequest
from storage.repositories.clients import ClientRepository
from storage.repositories.invitations import InvitationRepository, status_of
from storage.repositories.memberships import MembershipRepository
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM, Tenant


async def organization(sessions: Sessions, slug: str) -> UUID:
    async with transaction(sessions) as session:
        row = Organization(
            id=new_id(),
            name=slug,
            slug=slug,
            host_label=slug,
            plan="free",
            status="active",
            max_users=9,
            max_projects=9,
        )
        session.add(row)
    return row.id


async def member(sessions: Sessions, organization_id: UUID, email: str, role: Role) -> UUID:
    async with transaction(sessions) as session:
        user = User(id=new_id(), email=email, name=email)
        session.add(user)
        await session.flush()
        session.add(Membership(id=new_id(), organization_id=organization_id, user_id=user.id, role=role))
    return user.id


async def test_a_tenant_sees_its_own_people_only(sessions: Sessions):
    mine, other = await organization(sessions, "mine"), await organization(sessions, "other")
    ada = await member(sessions, mine, "ada@example.com", Role.ADMIN)
    bob = await member(sessions, other, "bob@example.com", Role.ADMIN)
    async with transaction(sessions) as session:
        users, members = UserRepository(session, Tenant(mine)), MembershipRepository(session, Tenant(mine))
        assert (await users.get(ada)).email == "ada@example.com"
        assert await users.claimants("bob@example.com") == []
        with pytest.raises(NotFoundError):
            await users.get(bob)
        assert await members.of(bob, other) is None
        assert await members.of_user(bob) == []
        assert (await members.search(other, role=None, request=PageRequest())).rows == []
        assert await members.count(mine) == 1
        everybody = UserRepository(session, PLATFORM)
        [found] = await everybody.claimants("bob@example.com")
        assert found
        assert found.id == bob
        assert [row.organization_id for row in await MembershipRepository(session, PLATFORM).of_user(bob)] == [other]


async def test_admins_who_cannot_log_in_do_not_count(sessions: Sessions):
    org = await organization(sessions, "admins")
    first = await member(sessions, org, "first@example.com", Role.ADMIN)
    second = await member(sessions, org, "second@example.com", Role.ADMIN)
    await member(sessions, org, "third@example.com", Role.DEVELOPER)
    async with transaction(sessions) as session:
        members = MembershipRepository(session, PLATFORM)
        row = await members.member(first, org)
        assert await members.other_admins(row) == 1
        (await UserRepository(session, PLATFORM).get(second)).disabled_at = now()
        assert await members.other_admins(row) == 0


async def test_what_became_of_an_invitation_is_one_thing_in_sql_and_in_python(sessions: Sessions):
    org, at = await organization(sessions, "inviting"), now()
    later, before = at + timedelta(days=1), at - timedelta(days=1)
    fates = [
        (later, None, None),
        (before, None, None),
        (later, before, None),
        (later, None, before),
        (before, before, None),
        (before, None, before),
        (later, before, before),
    ]
    async with transaction(sessions) as session:
        for number, (expires, accepted, revoked) in enumerate(fates):
            session.add(
                Invitation(
                    id=new_id(),
                    organization_id=org,
                    email=f"{number}@example.com",
                    role=Role.VIEWER,
                    token_hash=digest(str(number)),
                    invited_by="test",
                    expires_at=expires,
                    accepted_at=accepted,
                    revoked_at=revoked,
                )
            )
    async with transaction(sessions) as session:
        invitations = InvitationRepository(session, Tenant(org))
        request = PageRequest(page_size=100)
        everything = await invitations.search(org, status=None, at=at, request=request)
        for status in InvitationStatus:
            found = await invitations.search(org, status=status, at=at, request=request)
            assert {row.id for row in found.rows} == {row.id for row in everything.rows if status_of(row, at) is status}
            assert found.rows
        assert await invitations.count_open(org, at) == 1
        assert await invitations.open_for(org, "0@example.com", at)
        assert await invitations.open_for(org, "1@example.com", at) is None
        assert await InvitationRepository(session, Tenant(new_id())).by_token(digest("0")) is None


async def test_a_client_is_found_by_anybody_before_authentication_and_else_by_its_organization(sessions: Sessions):
    mine, other = await organization(sessions, "clients"), await organization(sessions, "no-clients")
    kind = ClientKind.SERVICE_ACCOUNT
    async with transaction(sessions) as session:
        row = Client(id=new_id(), organization_id=mine, kind=kind, name="ci", role=Role.VIEWER, created_by="test")
        session.add(row)
        await session.flush()
        found = await ClientRepository(session, Tenant(other)).by_id(row.id)
        assert found
        assert found.id == row.id
        assert (await ClientRepository(session, Tenant(mine)).of(mine, kind, row.id)).name == "ci"
        for tenant, organization_id, wanted in (
            (Tenant(other), mine, kind),
            (Tenant(mine), mine, ClientKind.APPLICATION),
            (PLATFORM, other, kind),
        ):
            with pytest.raises(NotFoundError):
                await ClientRepository(session, tenant).of(organization_id, wanted, row.id)
