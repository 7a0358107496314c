"""What the documents say about the API as a whole."""

from typing import Any

from api.version import PREFIX

TITLE = "AI Agent System API"
VERSION = "1.0.0"
DESCRIPTION = """Complete API for AI Agent System: plan, build and progressively deploy through one REST API.

Every answer is an envelope: `success`, `status`, `data` (or `error`) and `meta` with the request's id. With
`Accept: application/problem+json` errors come as RFC 9457 problems. Lists are paged. Every POST and PATCH takes an
`Idempotency-Key`. Credentials are a Bearer token or an API key."""
CONTACT = {"name": "API Support", "email": "api-support@example.com"}
LICENSE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0.html"}
SERVERS: list[dict[str, Any]] = [
    {
        "url": PREFIX,
        "description": "Where this document comes from: local, staging or production",
        "x-internal": False,
    },
    {
        "url": "https://{host}" + PREFIX,
        "description": "Production server",
        "x-internal": False,
        "variables": {"host": {"default": "api.example.com", "description": "Where it is installed"}},
    },
]
# Routes that bring a tag of their own need a line here: a test says so.
TAGS = {
    "Organizations": "Organization management",
    "Projects": "Project management",
    "Requirements": "Requirement management",
    "Features": "Features of a requirement and where the work on them stands",
    "Tests": "Test cases and their results",
    "Builds": "What was built of a feature, here or elsewhere",
    "Deployments": "Deployment operations",
    "Environments": "What runs where, whose turn it is, and when deploying is possible",
    "Operations": "Long-running operations: look, wait, follow, cancel",
    "Webhooks": "Where events are sent, what was sent, and what came of it",
    "Monitoring": "Health of the system",
}
SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "BearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token: RS256, `typ: at+jwt` (RFC 9068, checked as RFC8725 asks).",
    },
    "ApiKeyAuth": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "For service-to-service communication.",
    },
}
