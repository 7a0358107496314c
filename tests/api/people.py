"""People for the tests: organizations of their own, with members who came by invitation."""

from typing import Any

from sqlalchemy import select, text

from domain.permissions import Role
from storage.engine import Sessions, transaction
from storage.models import Revocation

PASSWORD = "correct horse"


async def organization(platform: Any, slug: str, **values: Any) -> str:
    """A new organization's id."""
    made = await platform.made("/organizations", {"name": slug, "slug": slug, "plan": "enterprise", **values})
    return made["id"]


async def invited(platform: Any, org: str, email: str, role: str = "viewer") -> str:
    """The token of a new invitation."""
    return (await platform.made(f"/organizations/{org}/invitations", {"email": email, "role": role}))["token"]


def acceptance(token: str, **values: Any) -> dict[str, Any]:
    return {"token": token, "name": "Ada Lovelace", "password": PASSWORD, **values}


async def joined(platform: Any, org: str, email: str, role: str = "viewer") -> dict[str, Any]:
    """A new member, as answered when they accepted."""
    answer = await platform.post("/invitations/accept", acceptance(await invited(platform, org, email, role)))
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def as_member(caller: Any, member: dict[str, Any]) -> Any:
    """Whoever calls with a token of this member."""
    return caller(Role(member["role"]), member["organization_id"], subject=member["id"])


async def revoked(rows: Sessions) -> list[tuple[str, str | None]]:
    """Whose tokens are refused, and of which organization (None: of all), oldest first."""
    async with transaction(rows) as session:
        found = await session.scalars(
            select(Revocation).where(Revocation.kind == "subject").order_by(Revocation.created_at, Revocation.id)
        )
        return [(row.value, row.organization_id and str(row.organization_id)) for row in found]


async def stored(rows: Sessions) -> str:
    """Everything that the tables about people and answers hold, as text."""
    tables = ("users", "memberships", "invitations", "clients", "idempotency_keys", "revocations")
    async with transaction(rows) as session:
        found = [str((await session.execute(text(f"SELECT t::text FROM {name} t"))).all()) for name in tables]  # noqa: S608 - constants
        answers = (await session.execute(text("SELECT body FROM idempotency_keys"))).scalars()
        return "".join([*found, *(bytes(body).decode("latin-1") for body in answers)])
