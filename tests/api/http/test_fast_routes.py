"""What is polled has a shorter way, and nobody notices which way an answer took."""

import httpx2
import pytest
from fastapi import APIRouter, Request, Response

from api.http.fast_routes import shortcuts
from api.routes import operations as routes
from domain.permissions import Role, Scope
from tests.api.conftest import BASE_URL

OWN = {"x-request-id", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"}


@pytest.fixture(scope="module")
async def paths(world, build_of):
    made = await build_of(world, "7.0.0")
    return [f"/operations/{made['operation_id']}", f"/deployments/{made['deployment_id']}"]


@pytest.fixture(scope="module")
def shown():
    def of(response):
        headers = {name: value for name, value in response.headers.items() if name not in OWN}
        return response.status_code, headers, {**response.json(), "meta": None}

    return of


async def test_both_ways_answer_the_same(world, paths, shown):
    for path in paths:
        collection, identifier = path[1:].split("/")
        short = await world.developer.get(path)
        long = await world.developer.get(f"/{collection}/{identifier.upper()}")
        assert short.status_code == 200
        assert shown(short) == shown(long)
    waited = await world.developer.get(paths[0] + "?wait=0")
    assert shown(waited) == shown(await world.developer.get(paths[0]))


async def test_what_a_route_reads_is_heard(world, paths):
    preferred = await world.developer.get(paths[0], headers={"Prefer": "wait=1"})
    assert preferred.headers["preference-applied"] == "wait=1"
    assert (await world.developer.get(paths[0] + "?wait=no")).status_code == 400
    assert (await world.developer.get(paths[1] + "?wait=1")).status_code == 400


async def test_a_known_tag_is_304_and_head_has_no_body(world, paths):
    for path in paths:
        tag = (await world.developer.get(path)).headers["etag"]
        assert (await world.developer.get(path, headers={"If-None-Match": tag})).status_code == 304
        head = await world.developer.http.head(path)
        assert (head.status_code, head.headers["etag"], head.content) == (200, tag, b"")


async def test_strangers_and_the_unpermitted_are_refused(app, caller, world, other_world, paths):
    unpermitted = caller(Role.DEVELOPER, world.org["id"], cut={Scope.DEPLOYMENTS_READ, Scope.OPERATIONS_READ})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL + "/v1") as nobody:
        for path in paths:
            assert (await nobody.get(path)).status_code == 401
            assert (await unpermitted.get(path)).status_code == 403
            assert (await other_world.developer.get(path)).status_code == 404


async def test_other_methods_hear_what_is_allowed(world, paths):
    refused = await world.developer.http.delete(paths[1])
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_route_with_more_to_it_gets_no_shortcut():
    rich = APIRouter()

    @rich.get("/things/{thing_id}")
    async def get_thing(request: Request, thing_id: str, page: routes.WantedPage) -> Response:
        raise NotImplementedError

    with pytest.raises(ValueError, match="too rich"):
        list(shortcuts([get_thing], [rich], "/v1"))
    assert len(list(shortcuts([routes.get_operation], [routes.router], "/v1"))) == 1
