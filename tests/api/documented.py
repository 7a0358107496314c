"""Every answer that a test gets is one that the OpenAPI document promises."""

import json
import re
from functools import cache
from pathlib import Path

import httpx2

from api.version import PREFIX

# Of the server before it looks for a route: too long an address, a body that no route would read, too many headers.
OF_NO_ROUTE = {414, 415, 431}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


@cache
def _operations() -> list[tuple[str, re.Pattern[str], frozenset[str]]]:
    """Method, path and statuses of each operation; a path without parameters goes before one that would match, too."""
    paths = json.loads(DOCUMENT.read_text())["paths"]
    return [
        (method.upper(), re.compile(PREFIX + re.sub(r"\{\w+\}", "[^/]+", path)), frozenset(operation["responses"]))
        for path in sorted(paths, key=lambda path: path.count("{"))
        for method, operation in paths[path].items()
        if "responses" in operation
    ]


def is_documented(method: str, path: str, status: int) -> bool:
    """Whether an answer is promised; what is in no document (a path that does not exist) promises nothing else."""
    if status in OF_NO_ROUTE:
        return True
    for known, pattern, statuses in _operations():
        if known == method and pattern.fullmatch(path):
            return str(status) in statuses
    return True


async def check_documented(response: httpx2.Response) -> None:
    """For the `event_hooks` of a client."""
    request = response.request
    asked = f"{request.method} {request.url.path}"
    assert is_documented(request.method, request.url.path, response.status_code), (
        f"{asked} answered {response.status_code}, which docs/openapi.json does not document"
    )
