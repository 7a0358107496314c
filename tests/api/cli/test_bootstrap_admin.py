"""The first platform admin: made once, the password shown once."""

import asyncio
import os
import subprocess
import sys
from importlib import import_module

import pytest
from sqlalchemy import select, update

from api.cli.__main__ import COMMANDS
from api.cli.__main__ import main as command_line
from api.cli.bootstrap_admin import first_admin, reset_password
from domain.errors import ConflictError, NotFoundError
from runtime.ids import new_id
from runtime.passwords import Passwords
from runtime.settings import ROOT
from storage.engine import transaction
from storage.models import User
from tests.api.people import revoked

EMAIL = "root@example.com"


async def admins(sessions) -> list[User]:
    async with transaction(sessions) as session:
        return list(await session.scalars(select(User).where(User.is_platform_admin)))


async def test_an_address_of_somebody_else_is_not_made_an_admin(sessions):
    async with transaction(sessions) as session:
        session.add(User(id=new_id(), email="taken@example.com", name="x"))
    with pytest.raises(ConflictError, match="DELIVERY_ADMIN_EMAIL"):
        await first_admin(sessions, "taken@example.com")
    with pytest.raises(NotFoundError):
        await reset_password(sessions, "taken@example.com")
    assert await admins(sessions) == []


async def test_many_at_once_make_one_admin_and_tell_one_password(sessions):
    told = [one for one in await asyncio.gather(*(first_admin(sessions, EMAIL) for _ in range(4))) if one]
    (admin,) = await admins(sessions)
    (password,) = told
    assert admin.email == EMAIL
    assert await Passwords().verify(admin.password_hash, password)
    assert await first_admin(sessions, "other@example.com") is None


async def test_a_reset_gives_a_new_password_and_ends_all_tokens(sessions):
    await first_admin(sessions, EMAIL)
    (before,) = await admins(sessions)
    password = await reset_password(sessions, EMAIL)
    (after,) = await admins(sessions)
    assert after.password_hash != before.password_hash
    assert await Passwords().verify(after.password_hash, password)
    assert (str(after.id), None) in await revoked(sessions)


async def test_the_command_prints_the_password_once_and_logs_nothing_of_it(sessions, database_url):
    async with transaction(sessions) as session:
        await session.execute(update(User).values(is_platform_admin=False))

    def run(*arguments: str, email: str = "first@example.com") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "api.cli.bootstrap_admin", *arguments],
            cwd=ROOT,
            env={**os.environ, "DELIVERY_DATABASE_URL": database_url, "DELIVERY_ADMIN_EMAIL": email},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    first = await asyncio.to_thread(run)
    password = first.stdout.split(" with the password ")[1].split()[0]
    (admin,) = await admins(sessions)
    assert await Passwords().verify(admin.password_hash, password)
    assert password not in first.stderr
    again = await asyncio.to_thread(run)
    assert (again.returncode, again.stdout) == (0, "")
    refused = await asyncio.to_thread(run, "reset", "--email", "nobody@example.com")
    assert refused.returncode == 1
    assert "nobody@example.com is not a platform admin" in refused.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_administrators_is_there(name):
    assert callable(import_module(COMMANDS[name][0]).main)


def test_the_command_line_says_what_there_is(capsys):
    assert command_line(["frob"]) == 2
    told = capsys.readouterr().err
    assert "there is no command 'frob'" in told
    assert all(name in told for name in COMMANDS)
    assert command_line([]) == 2
