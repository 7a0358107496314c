"""One step of the walk: a route is asked, and its answer looked at."""

from collections.abc import Iterable
from typing import Any

import httpx2

from tests.api.conftest import RecordedOperations
from tests.api.document import Route
from tests.api.owned_resources import Owner
from tests.api.walk_coverage import PUBLIC

REFUSED = {403: "AUTHORIZATION_DENIED", 404: "RESOURCE_NOT_FOUND"}
# Answers without an end.
STREAMS = frozenset({"follow_operation"})


def filled(route: Route, values: dict[str, str]) -> str:
    return route.path.format(**{name: values[name] for name in route.parameters})


async def ask(route: Route, who: Any, path: str, **options: Any) -> httpx2.Response:
    return await who.http.request(route.method, path, **{**route.options(), **options})


def check_refused(route: Route, response: httpx2.Response, who: str, *, said: int | None = None) -> None:
    where = (who, route.method, route.path, response.text[:300])
    assert response.status_code in ({said} if said else REFUSED), where
    assert response.json()["error"]["code"] == REFUSED[response.status_code], where


def check_nothing_of(mine: Owner, response: httpx2.Response, asked: str | None = None) -> None:
    """No id of theirs is in an answer, but in what was asked for."""
    words = {*mine.made.values(), *mine.others, mine.world.org["slug"]} - {"dev"}
    text = response.text.replace(asked, "") if asked else response.text
    assert not [word for word in words if word in text], (response.url, response.text[:500])


def check_idle(operations: RecordedOperations) -> None:
    """No workflow heard of it."""
    assert [*operations.started, *operations.stopped, *operations.decided] == []


def reads(routes: Iterable[Route]) -> list[Route]:
    return [route for route in routes if route.method == "GET" and route.name not in {*STREAMS, *PUBLIC}]


def writes(routes: Iterable[Route]) -> list[Route]:
    return [route for route in routes if route.method != "GET" and route.name not in PUBLIC]
