"""`/oauth/invitation`: the page behind an invitation's link. The token in the URL is the only credential."""

from collections.abc import Mapping
from typing import cast

from authlib.oauth2.rfc6749 import InvalidRequestError as UnreadableError
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from api.dependencies import AppState
from api.http.errors import InvalidRequestError
from api.oauth.pages import error_page, invitation_page, joined_page, too_often_page
from api.oauth.requests import form_values
from api.rate_limits.sensitive_limits import INVITATIONS
from api.schemas.invitations import MAX_TOKEN, InvitationAccept
from api.services import accept_invitation
from api.services.invitations import PAGE
from domain.errors import DeliveryError, DependencyError
from domain.words import words_of
from runtime.ids import now
from storage.engine import transaction

router = APIRouter(include_in_schema=False)


@router.get(PAGE)
async def invited(request: Request) -> Response:
    """Asks for a name and a password. GET changes nothing, since mail scanners open links."""
    return invitation_page(request.query_params.get("token", "")[:MAX_TOKEN])


@router.post(PAGE)
async def accept(request: Request) -> Response:
    """Handles the form. No CSRF token: a site that has the invitation's token could accept it without our page."""
    parts = cast("AppState", request.app.state.parts)
    if wait_s := await parts.oauth.limits.wait_s(INVITATIONS, request.scope):
        return too_often_page(wait_s)
    try:
        form = await form_values(request)
    except UnreadableError as error:
        return error_page(error.get_error_description() or "the form cannot be read", status=400)
    try:
        await _join(parts, form)
    except DependencyError as error:
        return error_page(error.message, status=503, headers={"Retry-After": str(error.retry_after_s)})
    except (ValidationError, DeliveryError) as error:
        field, message = _fault(error)
        token, name = form.get("token", "")[:MAX_TOKEN], form.get("name", "")
        return invitation_page(token, name=name, field=field, error=message)
    return joined_page()


def _fault(error: ValidationError | DeliveryError) -> tuple[str, str]:
    """The invalid field, and its error."""
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return str(fault["loc"][0]), f"{fault['loc'][0]}: {words_of(fault)}"
    if isinstance(error, InvalidRequestError):
        return error.fault.field, f"{error.fault.field}: {error.fault.message}"
    return "password", error.message


async def _join(parts: AppState, form: Mapping[str, str]) -> None:
    body = InvitationAccept.model_validate(
        {"token": form.get("token"), "name": form.get("name"), "password": form.get("password")}
    )
    acceptance = accept_invitation.Joining(parts, body, now())
    await acceptance.look()
    async with transaction(parts.sessions) as session:
        await acceptance.join(session)
