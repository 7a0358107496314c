"""`/oauth/authorize`: where an application sends users to log in and to give consent."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from authlib.oauth2 import OAuth2Error
from fastapi import APIRouter, Request, Response

from api.oauth.browser import Browser
from api.oauth.clients import RegisteredClient
from api.oauth.login import log_in, log_out, logged_in, still_logged_in
from api.oauth.pages import consent_page, error_page, login_page, nowhere_page, place_id, too_often_page
from api.oauth.parts import OAuthParts, oauth_parts
from api.oauth.requests import ProtocolRequest, form_values, query_request
from api.oauth.server import SEE_OTHER, Server, in_greenlet
from api.oauth.token_subject import Holder, places_of
from api.rate_limits.sensitive_limits import FORMS
from domain.errors import DeliveryError, DependencyError
from domain.permissions import Scope
from domain.texts import shown
from storage.engine import transaction
from storage.models import User

router = APIRouter(include_in_schema=False)
EXPIRED = "This page was open for too long, or cookies are blocked. Please try again."


def shown_errors(route: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Wraps a route so that its errors are HTML pages: there is no redirect to a URI that was not validated."""

    @wraps(route)
    async def shown(request: Request) -> Response:
        try:
            return await route(request)
        except OAuth2Error as error:
            return error_page(error.get_error_description() or str(error.error), status=400)
        except DependencyError as error:
            return error_page(error.message, status=503, headers={"Retry-After": str(error.retry_after_s)})
        except DeliveryError as error:
            return error_page(error.message, status=500)

    return shown


class Visit:
    """One browser request for a validated authorization request."""

    def __init__(self, request: Request, parts: OAuthParts, asked: ProtocolRequest) -> None:
        self.request = request
        self.parts = parts
        self.asked = asked
        self.browser = Browser(request, parts)
        self.client: RegisteredClient = asked.client
        self.name: str = shown(self.client.row.name)

    async def show(self, *, error: str = "") -> Response:
        """The next page: login or consent."""
        user = await logged_in(self.parts, self.browser)
        if user is None:
            return login_page(self.browser.form_token, client=self.name, error=error, status=400 if error else 200)
        places = await self.places(user)
        if not places:
            return nowhere_page(self.browser.form_token, client=self.name, email=user.email)
        return consent_page(
            self.browser.form_token,
            client=self.name,
            redirect_uri=self.asked.payload.redirect_uri,
            email=user.email,
            scopes=[Scope(name) for name in self.asked.scope.split()],
            places=places,
            error=error,
        )

    async def places(self, user: User) -> list[Holder]:
        async with transaction(self.parts.sessions) as session:
            return list(await places_of(session, user, self.client.row))

    def again(self) -> Response:
        """The same authorization request, asked with GET."""
        return Response(
            status_code=SEE_OTHER, headers={"Location": f"?{self.request.url.query}", "Cache-Control": "no-store"}
        )


@router.get("/oauth/authorize")
@shown_errors
async def authorize(request: Request) -> Response:
    """RFC 6749, 3.1."""
    visit = await _visit(request)
    if isinstance(visit, Response):
        return visit
    return visit.browser.dress(await visit.show())


@router.post("/oauth/authorize")
@shown_errors
async def decide(request: Request) -> Response:
    """Handles our forms; the authorization request stays in the URL."""
    if wait_s := await oauth_parts(request).limits.wait_s(FORMS, request.scope):
        return too_often_page(wait_s)
    visit = await _visit(request)
    if isinstance(visit, Response):
        return visit
    form = await form_values(request)
    if not visit.browser.sent(form.get("form_token", "")):
        return visit.browser.dress(await visit.show(error=EXPIRED))
    action = _ACTIONS.get(form.get("action", ""), _unknown)
    return visit.browser.dress(await action(visit, form))


async def _visit(request: Request) -> Visit | Response:
    """The validated request, or the error response for its client or the user."""
    parts, asked = oauth_parts(request), query_request(request)
    async with transaction(parts.sessions) as session:
        server = Server(parts, session)
        try:
            await in_greenlet(lambda: server.get_consent_grant(asked))
        except OAuth2Error as fault:
            error = fault
            client = await in_greenlet(lambda: server.query_client(asked.payload.client_id or ""))
        else:
            return Visit(request, parts, asked)
    # Never on a link alone (RFC 9700, 4.11.2): any registered application would be an open redirect in our name. Only
    # the application's own users are sent back to it.
    if not error.redirect_uri or not await _is_user(request, parts, client):
        raise error
    return server.refuse(asked, error)


async def _is_user(request: Request, parts: OAuthParts, client: RegisteredClient | None) -> bool:
    """Whether a user for whom an application could act is logged in in this browser."""
    user = await logged_in(parts, Browser(request, parts))
    if user is None or client is None:
        return False
    async with transaction(parts.sessions) as session:
        return bool(await places_of(session, user, client.row))


async def _log_in(visit: Visit, form: Mapping[str, str]) -> Response:
    email = form.get("email", "")
    network = visit.parts.limits.network(visit.request.scope)
    refusal = await log_in(visit.parts, visit.browser, network, email=email, password=form.get("password", ""))
    if refusal is None:
        return visit.again()
    wait = {"Retry-After": str(int(refusal.wait_s) + 1)} if refusal.wait_s else {}
    return login_page(
        visit.browser.form_token,
        client=visit.name,
        email=email[:254],
        error=refusal.message,
        status=429 if refusal.wait_s else 400,
        headers=wait,
    )


async def _log_out(visit: Visit, _: Mapping[str, str]) -> Response:
    await log_out(visit.parts, visit.browser)
    return visit.again()


async def _allow(visit: Visit, form: Mapping[str, str]) -> Response:
    user = await logged_in(visit.parts, visit.browser)
    if user is None:
        return await visit.show(error=EXPIRED)
    chosen = next((place for place in await visit.places(user) if place_id(place) == form.get("place")), None)
    if chosen is None:
        return await visit.show(error="Choose where the application may act.")
    return await _answer(visit, user, chosen)


async def _deny(visit: Visit, _: Mapping[str, str]) -> Response:
    return await _answer(visit, None, None)


async def _unknown(visit: Visit, _: Mapping[str, str]) -> Response:
    return await visit.show(error="Use one of the buttons of this page.")


async def _answer(visit: Visit, user: User | None, chosen: Holder | None) -> Response:
    """Redirect to the application with a code or an error. A logged-out session cannot give consent."""
    parts = visit.parts
    async with transaction(parts.sessions) as session:
        if user is not None and not await still_logged_in(session, visit.browser, user):
            chosen = None
        server = Server(parts, session)

        def respond() -> Any:
            grant = server.get_consent_grant(visit.asked)
            return server.create_authorization_response(visit.asked, grant_user=chosen, grant=grant)

        answer: Response = await in_greenlet(respond)
    return answer


_ACTIONS: Mapping[str, Callable[[Visit, Mapping[str, str]], Awaitable[Response]]] = {
    "login": _log_in,
    "logout": _log_out,
    "allow": _allow,
    "deny": _deny,
}
