"""`python -m api.cli accounts disable | enable | password EMAIL`: administration of user accounts.

A disabled user cannot log in, and none of their tokens, keys and sessions works; memberships stay. After enabling they
log in again, and their API keys work again. A new password is printed once.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from api.services import audited_writes
from api.services.revoke_access import end_logins
from domain.emails import normal_email
from domain.errors import ConflictError, DeliveryError, NotFoundError
from runtime.ids import now
from runtime.passwords import Passwords, new_password
from runtime.settings import Settings, get_settings
from runtime.stack.database import database_url
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.models import User
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM


async def disable(sessions: Sessions, email: str) -> None:
    """Disable a user and revoke every token, key and session they have. Idempotent.

    Raises:
        NotFoundError: no user has this email.
    """
    async with transaction(sessions) as session:
        user = await _locked(UserRepository(session, PLATFORM), email)
        if user.disabled_at is None:
            await audited_writes.change(session, user, {"disabled_at": now()}, action="disabled")
        await end_logins(session, user.id)


async def enable(sessions: Sessions, email: str) -> None:
    """Enable a disabled user.

    Raises:
        NotFoundError: no user has this email.
    """
    async with transaction(sessions) as session:
        user = await _locked(UserRepository(session, PLATFORM), email)
        await audited_writes.change(session, user, {"disabled_at": None}, action="enabled")


async def reset_password(sessions: Sessions, email: str, *, only_admin: bool = False, **more: Any) -> str:
    """Set a new password and revoke the user's tokens and sessions.

    Args:
        sessions: of the database.
        email: of the user.
        only_admin: whether the user must be a platform admin.
        more: other columns to change.

    Raises:
        NotFoundError: no user, or no platform admin, has this email.
    """
    password = new_password()
    password_hash = await Passwords().hash(password)
    async with transaction(sessions) as session:
        user = await _locked(UserRepository(session, PLATFORM), email, only_admin=only_admin)
        await audited_writes.change(session, user, {"password_hash": password_hash, **more}, action="password_reset")
        await end_logins(session, user.id)
    return password


async def _locked(users: UserRepository, email: str, *, only_admin: bool = False) -> User:
    found = await _meant(users, email)
    if only_admin and (found is None or not found.is_platform_admin):
        raise NotFoundError(f"{email} is not a platform admin; name one with --email")
    if found is None:
        raise NotFoundError(f"nobody has the address {email}")
    return await users.get(found.id, lock=True)


async def _meant(users: UserRepository, named: str) -> User | None:
    """The user by email, or by id where several claim an email that is not verified."""
    with suppress(ValueError):
        return await users.get(UUID(named))
    found = await users.claimants(named)
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        raise ConflictError(f"nobody has proven {named}, and several claim it: name one by id instead: {ids}")
    return found[0] if found else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is for the shell."""
    parser = argparse.ArgumentParser(prog="python -m api.cli accounts", description=__doc__)
    parser.add_argument("command", choices=["disable", "enable", "password"])
    parser.add_argument("email", help="the address; or the id, where several claim an address")
    try:
        sys.stdout.write(asyncio.run(_run(get_settings(), parser.parse_args(arguments))))
    except (DeliveryError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _named(text: str) -> str:
    with suppress(ValueError):
        return str(UUID(text))
    return normal_email(text)


async def _run(settings: Settings, chosen: argparse.Namespace) -> str:
    email = _named(chosen.email)
    engine = create_engine(database_url(settings), application_name="delivery-accounts", pool_size=1)
    sessions = create_sessions(engine)
    try:
        if chosen.command == "password":
            return f"{email} has the password {await reset_password(sessions, email)} now; it is shown this once\n"
        await (disable if chosen.command == "disable" else enable)(sessions, email)
        return f"{email} is {chosen.command}d\n"
    finally:
        await engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
