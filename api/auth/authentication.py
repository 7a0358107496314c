"""Authentication of a request: by an access token, an API key, or both if they are of the same principal."""

from dataclasses import dataclass, replace
from uuid import UUID

from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection

from api.auth import actor
from api.auth.principal import KEY_CREDENTIAL, Principal
from api.dependencies import AppState, State
from api.http.errors import UnauthenticatedError
from domain.api_keys import lower
from domain.errors import DeliveryError


@dataclass(frozen=True)
class Identity:
    """The principal of a request, or the error if there is none. Computed once per request."""

    principal: Principal | None
    fault: DeliveryError | None = None

    def known(self) -> Principal:
        """The principal.

        Raises:
            UnauthenticatedError: no credentials, or invalid ones.
            DependencyError: the credentials cannot be checked now.
        """
        if self.principal is None:
            raise self.fault or _nobody()
        return self.principal


async def authenticate(request: Request, parts: State) -> Principal:
    """The principal of this request.

    Raises:
        UnauthenticatedError: no credentials, or invalid ones.
        DependencyError: the credentials cannot be checked now.
    """
    principal = (await identify(request, parts)).known()
    actor.identify(principal)  # changes by this request are recorded as theirs
    return principal


async def identify(request: HTTPConnection, parts: AppState) -> Identity:
    """Authenticate a request and store the result with it."""
    found = getattr(request.state, "identity", None)
    if not isinstance(found, Identity):
        try:
            found = Identity(await principal_of(request, parts))
        except DeliveryError as error:
            found = Identity(None, error)
        request.state.identity = found
    return found


async def principal_of(request: HTTPConnection, parts: AppState) -> Principal:
    """Check a request's credentials against the current state.

    Raises:
        UnauthenticatedError: no credentials, or invalid ones.
        DependencyError: the credentials cannot be checked now.
    """
    tokens, keys = request.headers.getlist("authorization"), request.headers.getlist("x-api-key")
    if not tokens and not keys:
        raise _nobody()
    by_token = _by_token(tokens, parts) if tokens else None
    by_key = await _by_key(keys, parts) if keys else None
    principal = _one_of(by_token, by_key)
    if by_key is not None:
        parts.key_uses.note(UUID(by_key.credential.removeprefix(KEY_CREDENTIAL)), parts.addresses.of(request.scope))
    return principal


def _by_token(given: list[str], parts: AppState) -> Principal:
    scheme, token = get_authorization_scheme_param(given[0])
    if len(given) > 1 or scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("send one header 'Authorization: Bearer <token>'", token_was_given=True)
    return parts.verifier.verify(token)


async def _by_key(given: list[str], parts: AppState) -> Principal:
    if len(given) > 1:
        raise UnauthenticatedError("send one header 'X-API-Key: <key>'", token_was_given=True)
    return await parts.keys.principal(given[0])


def _one_of(by_token: Principal | None, by_key: Principal | None) -> Principal:
    """The intersection of the permissions of two credentials of one principal."""
    if by_token is None or by_key is None:
        found = by_token or by_key
        if found is None:
            raise _nobody()
        return found
    # A platform admin's token names no organization; an API key always belongs to one.
    places = {by_key.organization_id} | ({None} if by_token.is_platform_admin else set())
    if by_token.subject != by_key.subject or by_token.organization_id not in places:
        raise UnauthenticatedError(
            "the access token and the API key are of different principals; send one of them", token_was_given=True
        )
    permissions = by_token.permissions & by_key.permissions
    return replace(
        by_key,
        role=lower(by_token.role, by_key.role),
        permissions=permissions,
        email=by_key.email or by_token.email,
        is_foreign_machine=by_key.is_foreign_machine or by_token.is_foreign_machine,
    )


def _nobody() -> UnauthenticatedError:
    return UnauthenticatedError(
        "no credentials; send an access token as 'Authorization: Bearer <token>', or an API key as 'X-API-Key: <key>'",
        token_was_given=False,
    )
