"""Endpoints for programs: token, revocation, introspection, and the public keys and metadata."""

from typing import Any

from authlib.oauth2.rfc6749.util import extract_basic_authorization
from fastapi import APIRouter, Request, Response

from api.oauth.introspection import Introspecting, Revoking
from api.oauth.keystore import PUBLISHED_FOR
from api.oauth.parts import OAuthParts, oauth_parts
from api.oauth.requests import ProtocolRequest, form_request
from api.oauth.responses import json_answer, plain_errors, too_often
from api.oauth.server import Server, in_greenlet
from api.rate_limits.sensitive_limits import CLIENT_LOOKUPS, CLIENT_TOKENS, LOOKUPS, TOKENS, Limit
from domain.permissions import Scope
from storage.engine import transaction

# Outside of /v1 and its document: the protocol defines their format, and clients discover them by the metadata.
router = APIRouter(include_in_schema=False)
_KEPT_S = int(PUBLISHED_FOR.total_seconds())
# For all clients at one network, and for each client.
_FOR_TOKENS = (TOKENS, CLIENT_TOKENS)
_FOR_LOOKUPS = (LOOKUPS, CLIENT_LOOKUPS)


@router.post("/oauth/token")
@plain_errors
async def token(request: Request) -> Response:
    """RFC 6749, 3.2."""
    return await _answered(request, _FOR_TOKENS, lambda server, asked: server.create_token_response(asked))


@router.post("/oauth/revoke")
@plain_errors
async def revoke(request: Request) -> Response:
    """RFC 7009."""
    return await _answered(
        request, _FOR_TOKENS, lambda server, asked: server.create_endpoint_response("revocation", asked)
    )


@router.post("/oauth/introspect")
@plain_errors
async def introspect(request: Request) -> Response:
    """RFC 7662."""
    return await _answered(
        request, _FOR_LOOKUPS, lambda server, asked: server.create_endpoint_response("introspection", asked)
    )


@router.get("/.well-known/jwks.json")
@plain_errors
async def jwks(request: Request) -> Response:
    """RFC 7517, including the next signing key."""
    answer = json_answer(dict(oauth_parts(request).keyring.jwks()))
    return _kept(answer)


@router.get("/.well-known/oauth-authorization-server")
@plain_errors
async def metadata(request: Request) -> Response:
    """RFC 8414."""
    return _kept(json_answer(_metadata(oauth_parts(request))))


async def _answered(request: Request, limits: tuple[Limit, Limit], ask: Any) -> Response:
    parts, of_all, of_one = oauth_parts(request), *limits
    if wait_s := await parts.limits.wait_s(of_all, request.scope):
        return too_often(wait_s)
    asked = await form_request(request)
    if wait_s := await parts.limits.wait_s(of_one, request.scope, f"client {_client_id(asked)}"):
        return too_often(wait_s)
    async with transaction(parts.sessions) as session:
        server = Server(parts, session, holding=True)
        server.register_endpoint(Revoking)
        server.register_endpoint(Introspecting)
        answer: Response = await in_greenlet(lambda: ask(server, asked))
    return answer


def _client_id(asked: ProtocolRequest) -> str:
    """The client id that the request claims."""
    try:
        named, _ = extract_basic_authorization(asked.headers)
    except ValueError:
        named = None
    return named or asked.payload.client_id or ""


def _kept(answer: Response) -> Response:
    answer.headers["Cache-Control"] = f"public, max-age={_KEPT_S}"
    del answer.headers["Pragma"]
    answer.headers["Access-Control-Allow-Origin"] = "*"
    return answer


def _metadata(parts: OAuthParts) -> dict[str, object]:
    base = parts.settings.base_url
    confidential = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": parts.settings.issuer,
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "introspection_endpoint": f"{base}/oauth/introspect",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "scopes_supported": [str(scope) for scope in Scope],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [*confidential, "none"],
        "revocation_endpoint_auth_methods_supported": [*confidential, "none"],
        "introspection_endpoint_auth_methods_supported": confidential,
        "authorization_response_iss_parameter_supported": True,
        "service_documentation": f"{base}/docs",
    }
