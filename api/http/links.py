"""URLs: relative ones for bodies, as in the contract; absolute ones for headers."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import Request

from api.version import PREFIX
from runtime.settings import Settings

POLL_INTERVAL_S = 5
_POSITION = frozenset({"page", "cursor"})


def operation_path(operation_id: UUID) -> str:
    """Relative to the versioned base."""
    return f"/operations/{operation_id}"


def deployment_path(deployment_id: UUID) -> str:
    """Relative to the versioned base."""
    return f"/deployments/{deployment_id}"


def location(request: Request, path: str) -> dict[str, str]:
    """The URL of a created resource; `path` is relative to the versioned base."""
    base: str = request.app.state.parts.settings.base_url
    return {"Location": f"{base}{PREFIX}{path}"}


def created_headers(settings: Settings, operation_id: UUID, deployment_id: UUID) -> dict[str, str]:
    """The URLs of the resource and of its operation."""
    base = settings.base_url + PREFIX
    return {
        "Location": base + deployment_path(deployment_id),
        "Operation-Location": base + operation_path(operation_id),
    }


def accepted_headers(settings: Settings, operation_id: UUID, deployment_id: UUID) -> dict[str, str]:
    """The URLs of the future resource and of its operation, and when to poll it, in seconds."""
    return {**created_headers(settings, operation_id, deployment_id), "Retry-After": str(POLL_INTERVAL_S)}


def list_links(request: Request, base: str, targets: Mapping[str, Mapping[str, object]]) -> str:
    """A `Link` header (RFC 8288) to other parts of a list.

    Args:
        request: the request of the list; its other query parameters stay.
        base: the API's public URL.
        targets: by relation, the new `page` or `cursor`.
    """
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in _POSITION]
    address = base + quote(request.url.path)

    def link(relation: str, position: Mapping[str, object]) -> str:
        query = urlencode([*kept, *position.items()])
        return f'<{address}{"?" if query else ""}{query}>; rel="{relation}"'

    return ", ".join(link(relation, position) for relation, position in targets.items())
