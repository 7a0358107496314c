"""What is gone says so; what goes is announced by headers, warnings and OpenAPI."""

from datetime import date
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request, Response

from api.app import create_app
from api.http import envelope
from api.http.deprecation import Deprecation, mark
from api.http.errors import InvalidRequestError
from api.schemas.base import Body, View
from tests.api.conftest import BASE_URL
from tests.api.http.test_errors import check_error

# Long ago, and long from now: what is over is told in other words.
OLD = Deprecation(since=date(2020, 1, 1), sunset=date(2126, 7, 1), successor="/v2/things/{thing}")
OLDER = Deprecation(since=date(2019, 1, 1), successor="new_name")

router = APIRouter()


class Thing(View):
    name: str
    label: Annotated[str | None, OLDER]


class ThingChange(Body):
    name: str = "x"
    label: Annotated[str, OLDER] = "default"


@router.get("/old/{thing}", response_model=envelope.Envelope[dict[str, str]])
@OLD
async def get_old(request: Request, thing: str) -> Response:
    if thing == "bad":
        raise InvalidRequestError("thing", "is bad", code="bad", in_body=False)
    return envelope.reply(request, {"thing": thing})


@router.get("/things", response_model=envelope.Envelope[Thing])
async def get_thing(request: Request) -> Response:
    return envelope.reply(request, Thing.model_validate({"name": "x", "label": None}))


@router.post("/things")
async def change_thing(request: Request, body: ThingChange) -> Response:
    return envelope.reply(request, {"name": body.name})


def client(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL)


@pytest.fixture(scope="module")
def marked(settings, recorder):
    def make(**changes) -> FastAPI:
        # Without its lifespan it has no parts to count requests with.
        quiet = settings.model_copy(update={"rate_limits": False, **changes})
        app = create_app(quiet, make_operations=lambda _: recorder)
        mark(router)
        app.include_router(router, prefix="/v1")
        return app

    return make


async def test_a_deprecated_route_tells_by_headers_and_warnings(marked):
    async with client(marked()) as http:
        response = await http.get("/v1/old/a%20b")
        assert response.headers["deprecation"] == "@1577836800"
        assert response.headers["sunset"] == "Mon, 01 Jul 2126 00:00:00 GMT"
        assert response.headers["link"] == f'<{BASE_URL}/v2/things/a%20b>; rel="successor-version"'
        [warning] = response.json()["meta"]["warnings"]
        assert "This endpoint is deprecated" in warning
        assert "2126-07-01" in warning
        bad = await http.get("/v1/old/bad")
        check_error(bad, 400, "VALIDATION_ERROR")
        assert bad.headers["deprecation"] == "@1577836800"
        assert bad.json()["meta"]["warnings"]
        head = await http.head("/v1/old/a")
        assert (head.headers["deprecation"], head.content) == ("@1577836800", b"")


async def test_a_deprecated_field_warns_only_who_uses_it(marked):
    async with client(marked()) as http:
        unused = await http.post("/v1/things", json={"name": "y"})
        assert "warnings" not in unused.json()["meta"]
        assert "deprecation" not in unused.headers
        for used in (await http.post("/v1/things", json={"label": "y"}), await http.get("/v1/things")):
            assert used.headers["deprecation"] == "@1546300800"
            assert "sunset" not in used.headers
            assert "link" not in used.headers
            [warning] = used.json()["meta"]["warnings"]
            assert warning == "The field label is deprecated since 2019-01-01. Please migrate to new_name."


async def test_openapi_says_what_is_deprecated(marked):
    document = marked().openapi()
    assert document["paths"]["/old/{thing}"]["get"]["deprecated"] is True
    assert "deprecated" not in document["paths"]["/things"]["get"]
    assert document["components"]["schemas"]["ThingChange"]["properties"]["label"]["deprecated"] is True
    assert document["components"]["schemas"]["Thing"]["properties"]["label"]["deprecated"] is True


async def test_the_spelling_of_the_contract_is_a_setting(marked):
    async with client(marked(contract_deprecation_headers=True)) as http:
        response = await http.get("/v1/old/a")
        assert (response.headers["deprecation"], response.headers["sunset"]) == ("true", "2126-07-01T00:00:00Z")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["", "/", "/organizations/ü", "/a%3Eb?page=1"])
async def test_v0_is_gone(app, method, path):
    async with client(app) as http:
        response = await http.request(method, "/v0" + path)
        assert response.status_code == 410
        assert response.headers["deprecation"] == "@1719705600"
        assert response.headers["sunset"] == "Tue, 31 Dec 2024 00:00:00 GMT"
        link = response.headers["link"]
        assert link.startswith(f"<{BASE_URL}/v1")
        assert link.endswith('>; rel="successor-version"')
        assert link.count(">") == 1
        if method != "HEAD":
            check_error(response, 410, "RESOURCE_NOT_FOUND")
            assert "v0" in response.json()["meta"]["warnings"][0]


async def test_what_only_begins_like_v0_is_not(app):
    async with client(app) as http:
        check_error(await http.get("/v00"), 404, "RESOURCE_NOT_FOUND")


async def test_meta_is_whole_on_success_and_error(platform):
    for response in (await platform.get("/organizations"), await platform.get("/nowhere")):
        assert set(response.json()["meta"]) == {"timestamp", "request_id", "version"}
