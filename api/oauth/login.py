"""Login with email and password, and its protection against guessing.

Attempts are counted before the password is checked, so that parallel ones all count. Unknown emails are counted and
answered like known ones, in the same time. Guessing slows down the network or device that guesses. The account as a
whole slows down only for browsers in which it was never used (OWASP's device cookies).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from api.oauth.browser import SESSION_FOR, Browser, Device
from api.oauth.parts import OAuthParts
from api.oauth.throttle import ACCOUNT, ADDRESS, LOGIN
from api.services.audit import record
from domain.emails import normal_email
from runtime.credentials import digest
from runtime.ids import new_id, now
from runtime.logging import get_logger
from storage.engine import transaction
from storage.models import LoginSession, User
from storage.repositories.logins import LoginRepository
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM

log = get_logger(__name__)

WRONG: Final = "The e-mail address or the password is wrong."


@dataclass(frozen=True)
class Refusal:
    """Why a login was refused. `wait_s`: seconds until another attempt is accepted; 0: at once."""

    message: str
    wait_s: float = 0.0


async def log_in(parts: OAuthParts, browser: Browser, network: str, *, email: str, password: str) -> Refusal | None:
    """Log in a browser of a network; None: it succeeded."""
    account = _account(email)
    device = browser.device()
    known = device if device is not None and device.knows(account) else None
    wait_s = await _attempt(parts, account, network, known)
    if wait_s:
        log.warning("oauth.login.slowed", account=account[:12], known_device=known is not None)
        await _tell_refused(parts, network, email, "too many attempts")
        return Refusal(f"Too many attempts. Please wait {int(wait_s) + 1} seconds and try again.", wait_s)
    found = [one for one in await _users(parts, email) if one.disabled_at is None and one.password_hash is not None]
    user = await _of_password(parts, found, password)
    if user is None:
        log.warning("oauth.login.failed", account=account[:12])
        await _tell_refused(parts, network, email, "wrong password" if found else "no such account, or disabled")
        return Refusal(WRONG)
    if not await _begin(parts, browser, user, password):
        await _tell_refused(parts, network, email, "changed or disabled at this moment")
        return Refusal(WRONG)
    for key in _keys(account, network, known):
        await parts.throttle.forget(key)
    browser.mark(account)
    log.info("oauth.login.succeeded", user_id=str(user.id))
    return None


async def logged_in(parts: OAuthParts, browser: Browser) -> User | None:
    """The user logged in in this browser."""
    async with transaction(parts.sessions) as session:
        return await LoginRepository(session).user(digest(browser.session), now())


async def still_logged_in(session: AsyncSession, browser: Browser, user: User) -> bool:
    """Whether this user is logged in in this browser, locked until the transaction ends."""
    await UserRepository(session, PLATFORM).get(user.id, lock=True)
    found = await LoginRepository(session).user(digest(browser.session), now())
    return found is not None and found.id == user.id


async def log_out(parts: OAuthParts, browser: Browser) -> None:
    """Log out: end the browser's session."""
    async with transaction(parts.sessions) as session:
        logins, mine = LoginRepository(session), digest(browser.session)
        user = await logins.user(mine, now())
        await logins.end(mine)
        if user is not None:
            await record(session, "login.ended", resource_type="user", resource_id=user.id, actor=str(user.id))
    browser.renew()


async def _tell_refused(parts: OAuthParts, network: str, email: str, reason: str) -> None:
    """Write the failed login into the audit log, up to a limit. The typed text is left out: it may be a password."""
    if not await parts.limits.tells(network):
        return
    user = next(iter(await _users(parts, email)), None)
    async with transaction(parts.sessions) as session:
        whose, account = user.id if user else None, _account(email)[:12]
        await record(
            session, "login.refused", resource_type="user", resource_id=whose, reason=reason, account_digest=account
        )


async def _attempt(parts: OAuthParts, account: str, address: str, known: Device | None) -> float:
    if wait_s := await parts.throttle.attempt(f"login-address\n{address}", ADDRESS):
        return wait_s
    counted: list[str] = []
    for key in _keys(account, address, known):
        policy = ACCOUNT if key.startswith("login-account\n") else LOGIN
        if wait_s := await parts.throttle.attempt(key, policy):
            # Attempts that another counter refused before the password was checked are not guesses: do not count them
            # here.
            for one in counted:
                await parts.throttle.give_back(one)
            return wait_s
        counted.append(key)
    return 0.0


def _keys(account: str, address: str, known: Device | None) -> list[str]:
    """A known device counts on its own: attempts elsewhere do not slow it down, and its attempts slow nobody else."""
    if known is not None:
        return [f"login-device\n{known.id}"]
    return [f"login\n{account}\n{address}", f"login-account\n{account}"]


async def _users(parts: OAuthParts, email: str) -> Sequence[User]:
    """Candidates for this email: one user, or several while the email is not verified."""
    try:
        wanted = normal_email(email.strip())
    except ValueError:
        return []
    async with transaction(parts.sessions) as session:
        return await UserRepository(session, PLATFORM).claimants(wanted)


async def _of_password(parts: OAuthParts, users: Sequence[User], password: str) -> User | None:
    """The user with this password; unknown addresses take as long as known ones, against enumeration."""
    for user in users:
        if await parts.passwords.verify(user.password_hash, password):
            return user
    if not users:
        await parts.passwords.verify(None, password)
    return None


async def _begin(parts: OAuthParts, browser: Browser, user: User, password: str) -> bool:
    """Start the session, unless the password was changed or the user was disabled since the check."""
    outdated = not parts.passwords.is_current(user.password_hash or "")
    fresh = await parts.passwords.hash(password) if outdated else None
    async with transaction(parts.sessions) as session:
        row = await UserRepository(session, PLATFORM).get(user.id, lock=True)
        if row.password_hash != user.password_hash and not await parts.passwords.verify(row.password_hash, password):
            return False
        if row.disabled_at is not None:
            return False
        row.last_login_at = now()
        # The password may have changed meanwhile: the new one stays.
        if fresh is not None and row.password_hash == user.password_hash:
            row.password_hash = fresh
        logins = LoginRepository(session)
        await logins.end(digest(browser.session))
        await record(session, "login.succeeded", resource_type="user", resource_id=user.id, actor=str(user.id))
        token_hash = digest(browser.renew())
        await logins.add(
            LoginSession(id=new_id(), token_hash=token_hash, user_id=user.id, expires_at=now() + SESSION_FOR)
        )
    return True


def _account(email: str) -> str:
    return hashlib.sha256(email.strip().lower().encode(errors="surrogatepass")).hexdigest()
