"""Something of everything, for requests to find."""

import copy
from typing import Any
from uuid import UUID

from sqlalchemy import update

from api.openapi.traversal import operations, parameters_of
from storage.engine import transaction
from storage.models import Project
from storage.repositories.webhook_fanout import WebhookFanOut
from tests.api.people import joined
from tests.api.test_clients import APPLICATION
from tests.support.webhooks import Scene

CASE = {
    "name": "OAuth Login Flow",
    "description": "Test complete OAuth login process",
    "steps": [{"step_number": 1, "action": "Navigate to login page", "expected_result": "Login form displayed"}],
    "expected_result": "User logged in successfully",
}
RESULT = {"status": "passed", "duration_ms": 1, "assertions_run": 1, "assertions_passed": 1, "assertions_failed": 0}

CLIENTS = {
    "invitation_id": ("/invitations", {"email": "ada@example.com", "role": "viewer"}),
    "service_account_id": ("/service-accounts", {"name": "CI", "role": "developer"}),
    "client_id": ("/clients", APPLICATION),
}


async def known_ids(platform: Any, world: Any, build_of: Any, rows: Any) -> dict[str, str]:
    """Ids of things that exist, by the names that paths call them."""
    async with transaction(rows) as session:  # `build_of` numbers its build itself
        await session.execute(update(Project).values(last_build_number=1))
    built = await build_of(world, "1.2.0")
    case = await world.developer.made(f"/features/{world.feature['id']}/tests", CASE)
    result = await world.developer.made(f"/testcases/{case['id']}/results", RESULT)
    people = f"/organizations/{world.org['id']}"
    key = await platform.made(f"/organizations/{world.org['id']}/api-keys", {"name": "ci", "scopes": ["tests:read"]})
    kept = {"name": "FOUND", "kind": "service_env", "value": "never told"}
    secret = await platform.made(f"/projects/{world.project['id']}/secrets", kept)
    return {
        **{name: (await platform.made(people + path, body))["id"] for name, (path, body) in CLIENTS.items()},
        "user_id": (await joined(platform, world.org["id"], "fuzz@example.com"))["id"],
        "secret_id": secret["id"],
        "org_id": world.org["id"],
        "key_id": key["id"],
        "project_id": world.project["id"],
        "requirement_id": world.requirement["id"],
        "feature_id": world.feature["id"],
        "testcase_id": case["id"],
        "result_id": result["id"],
        **await _webhook(rows, UUID(world.org["id"])),
        **built,
    }


async def _webhook(rows: Any, organization_id: UUID) -> dict[str, str]:
    """A webhook, and a delivery to it."""
    scene = Scene(rows, organization_id)
    endpoint = await scene.endpoint("https://hooks.example.com/")
    await scene.event()
    async with transaction(rows) as session:
        await WebhookFanOut(session).fan_out(limit=100)
    [delivery, *_] = await scene.deliveries(endpoint.id)
    return {"webhook_id": str(endpoint.id), "delivery_id": str(delivery.id)}


# What schemathesis cannot know how to make, or must not: a cursor comes from an answer and excludes `page`
# (tests/api/http/test_pagination.py); a malformed If-None-Match is ignored, as RFC 9110 asks, not refused.
LEFT_OUT = ("cursor", "If-None-Match")
# Its boundaries of lengths ignore the pattern.
TAGS = {"type": "string", "enum": ["*", '"made-up"']}


def schema_with(document: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """The document, with these ids as the examples of its paths, and without what is left out."""
    made = copy.deepcopy(document)
    for _, _, operation in operations(made):
        operation["parameters"] = [one for one in parameters_of(made, operation) if one["name"] not in LEFT_OUT]
        for parameter in operation["parameters"]:
            if parameter["in"] == "path" and parameter["name"] in ids:
                parameter["example"] = ids[parameter["name"]]
            if parameter["name"] == "If-Match":
                parameter["schema"] = TAGS
    return made
