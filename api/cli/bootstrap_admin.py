"""`python -m api.cli bootstrap-admin [reset]`: create the first platform admin, or reset a platform admin's password.

Also creates the platform's own application, with which people log in on a command line.

Prints a password at most once, on standard output; it is shown nowhere else. Two runs, even at the same time, create
one admin.
"""

import argparse
import asyncio
import sys
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.cli import accounts
from api.services import audited_writes
from domain.clients import ClientKind
from domain.emails import normal_email
from domain.errors import ConflictError, DeliveryError, DependencyError
from runtime.ids import new_id, now
from runtime.logging import setup_logging
from runtime.passwords import Passwords, new_password
from runtime.settings import get_settings
from runtime.stack.database import database_url, without_answer
from storage.engine import Sessions, create_engine, create_sessions, transaction
from storage.models import Client, User
from storage.repositories.clients import ClientRepository
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM

# Public, as the client id of a command line is: it has no secret, and PKCE protects the flow.
COMMAND_LINE = UUID("0193b5a0-0000-7000-8000-00000000c11e")
LOOPBACK = "http://127.0.0.1:8976/callback"


async def first_admin(sessions: Sessions, email: str) -> str | None:
    """Create the platform admin if there is none yet, and return the password; None: there is one.

    Raises:
        ConflictError: another user has the email.
    """
    async with transaction(sessions) as session:
        users = UserRepository(session, PLATFORM)
        await users.hold_bootstrap()
        await _add_command_line(session)
        if await users.platform_admins():
            return None
        await users.hold_email(email)
        if await users.claimants(email):
            raise ConflictError(
                f"{email} is a user, and no platform admin; set DELIVERY_ADMIN_EMAIL to another address"
            )
        password = new_password()
        password_hash = await Passwords().hash(password)
        admin = User(
            id=new_id(),
            email=email,
            name="Platform admin",
            password_hash=password_hash,
            is_platform_admin=True,
            email_verified_at=now(),
        )
        await audited_writes.add(session, admin, reason="the first platform admin")
    return password


async def _add_command_line(session: AsyncSession) -> None:
    """Acts for the user who logs in, in any of their organizations; it has no scopes of its own."""
    if await ClientRepository(session, PLATFORM).by_id(COMMAND_LINE) is None:
        row = Client(id=COMMAND_LINE, kind=ClientKind.APPLICATION, name="Delivery command line", created_by="system")
        row.scopes, row.redirect_uris = [], [LOOPBACK]
        await audited_writes.add(session, row)


async def reset_password(sessions: Sessions, email: str) -> str:
    """Set a new password of a platform admin and revoke all their tokens and sessions.

    Raises:
        NotFoundError: no platform admin has this email.
    """
    return await accounts.reset_password(sessions, email, only_admin=True, disabled_at=None)


async def _run(url: str, email: str, *, reset: bool) -> str | None:
    engine = create_engine(url, application_name="delivery-bootstrap", pool_size=1)
    try:
        sessions = create_sessions(engine)
        return await (reset_password(sessions, email) if reset else first_admin(sessions, email))
    finally:
        await engine.dispose()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status is for the shell."""
    settings = get_settings()
    setup_logging(settings.log_level, service="bootstrap")
    parser = argparse.ArgumentParser(prog="python -m api.cli bootstrap-admin", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["reset"], help="a new password for a platform admin")
    parser.add_argument("--email", default=settings.admin_email, help="of the admin; default DELIVERY_ADMIN_EMAIL")
    parser.add_argument("--untold", action="store_true", help="do not print the password: the output is kept somewhere")
    options = parser.parse_args(arguments)
    try:
        email = normal_email(options.email)
        password = asyncio.run(_run(database_url(settings), email, reset=options.command == "reset"))
    except DependencyError as error:
        sys.stderr.write(f"{without_answer(settings, error.message)}\n")
        return 2
    except (DeliveryError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if password and options.untold:
        sys.stdout.write(f"platform admin {email} made; `make admin-password` prints a password for it\n")
    elif password:
        sys.stdout.write(f"platform admin {email} with the password {password}\n")
        sys.stdout.write("It is shown this once: keep it, or make another one with `make admin-password`.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
