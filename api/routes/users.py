"""The current user: profile, name and password."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import Authenticated
from api.dependencies import State
from api.http.envelope import Envelope, reply
from api.http.idempotency import Idempotent
from api.http.preconditions import Precondition
from api.schemas.users import MePatch, MeView
from api.services.password_attempts import Tries
from api.services.profile import Me, NewPassword, new_password
from storage.engine import transaction

router = APIRouter(tags=["Users"])


@router.get("/users/me", summary="Who am I", response_model=Envelope[MeView])
async def get_me(request: Request, parts: State, principal: Authenticated) -> Response:
    """The user of these credentials, their organizations (of an API key: its own), and the credentials' permissions."""
    async with transaction(parts.sessions) as session:
        view = await Me(session, principal).view()
    return reply(request, view)


@router.patch("/users/me", summary="Change yourself", response_model=Envelope[MeView])
async def change_me(
    *,
    request: Request,
    parts: State,
    principal: Authenticated,
    command: Idempotent,
    precondition: Precondition,
    body: MePatch,
) -> Response:
    """Changes name or password; not with an API key. A new password ends all your tokens, these too: log in again."""
    oauth = parts.oauth
    tries = Tries(oauth.throttle, principal.subject, oauth.limits.network(request.scope))

    new: NewPassword | None = None

    async def look() -> None:
        nonlocal new
        async with transaction(parts.sessions) as session:
            stored = await Me(session, principal).ask(body, precondition)
        if stored is not None:
            new = await new_password(stored, body, parts.passwords, tries)

    async def carry_out(session: AsyncSession) -> Response:
        return reply(request, await Me(session, principal).change(body, precondition, new))

    return await command.run(carry_out, before=look)
