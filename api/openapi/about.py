"""General texts of the documents."""

from typing import Any

from api.version import PREFIX
from domain.permissions import Scope, in_words

TITLE = "AI Agent System API"
VERSION = "1.0.0"
DESCRIPTION = """Complete API for AI Agent System: plan, build and progressively deploy through one REST API.

Every answer is an envelope: `success`, `status`, `data` (or `error`) and `meta` with the request's id. With
`Accept: application/problem+json` errors come as RFC 9457 problems. Lists are paged. Every POST and PATCH takes an
`Idempotency-Key`. Credentials are a Bearer token or an API key.

Tokens come from the OAuth 2 server beside this API. Its endpoints speak RFC 6749 instead of the envelope and are no
part of this document: its metadata (RFC 8414) are at `/.well-known/oauth-authorization-server`.

This document as a [Postman collection](/postman-collection.json), and as [OpenAPI 3.0](/v1/openapi-3.0.json)."""
CONTACT = {"name": "API Support", "email": "api-support@example.com"}
LICENSE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0.html"}
SERVERS: list[dict[str, Any]] = [
    {
        "url": PREFIX,
        "description": "The server of this document: local, staging or production",
        "x-internal": False,
    },
    {
        "url": "https://{host}" + PREFIX,
        "description": "Production server",
        "x-internal": False,
        "variables": {"host": {"default": "api.example.com", "description": "Where it is installed"}},
    },
]
# Each tag needs a line here; a test checks this.
TAGS = {
    "Organizations": "Organization management",
    "Members": "Members of an organization and their roles; invitations",
    "Service accounts": "Programs that act for themselves in an organization (client credentials)",
    "Applications": "Programs that act for the user who logs in (authorization code)",
    "Users": "The current user",
    "Roles": "Roles and their permissions",
    "Projects": "Project management",
    "Requirements": "Requirement management",
    "Features": "Features of a requirement and their implementation status",
    "Tests": "Test cases and their results",
    "Builds": "Builds of a feature, by this engine or external",
    "Vulnerabilities": "What scans found, and what people decided about it",
    "Deployments": "Deployment operations",
    "Environments": "Environments: releases, deployment lock and queue, settings and windows",
    "Secrets": "Secrets of projects: written, never read",
    "Operations": "Long-running operations: get, wait, follow, cancel",
    "API keys": "Credentials of services: create, rotate, revoke",
    "Audit log": "Who changed what, when and from where",
    "Webhooks": "Webhooks, their deliveries and attempts",
    "Monitoring": "Health of the system",
}
_FLOW = {
    "tokenUrl": "/oauth/token",
    "refreshUrl": "/oauth/token",
    "scopes": {str(scope): in_words(scope) for scope in Scope},
}
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "BearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token: RS256, `typ: at+jwt` (RFC 9068, checked as RFC8725 requires).",
    },
    "ApiKeyAuth": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "For service-to-service communication.",
    },
    "OAuth2": {
        "type": "oauth2",
        "description": "Issues the access tokens of BearerAuth (checked as RFC8725 requires); PKCE with S256.",
        "flows": {
            "authorizationCode": {**_FLOW, "authorizationUrl": "/oauth/authorize"},
            "clientCredentials": _FLOW,
        },
    },
}
