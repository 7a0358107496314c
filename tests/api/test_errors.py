"""Every error comes in the envelope and tells a stranger what to do."""

import json

import httpx2
import pytest

from api.app import create_app
from domain.access import Role
from tests.api.conftest import BASE_URL, Caller

MISSING = "0193b5a0-0000-7000-8000-000000000000"


def check_error(response: httpx2.Response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    answer = response.json()
    assert (answer["success"], answer["status"], answer["error"]["code"]) == (False, status, code)
    assert answer["meta"]["request_id"] == response.headers["x-request-id"]
    assert answer["error"]["message"]
    return answer["error"]


async def test_schema_faults_name_every_field_with_pointer_and_code(platform):
    response = await platform.post("/organizations", {"slug": "No Good", "max_users": "ten", "extra/field": 1})
    error = check_error(response, 400, "VALIDATION_ERROR")
    faults = {fault["field"]: fault for fault in error["details"]}
    assert set(faults) == {"name", "slug", "max_users", "extra/field"}
    assert faults["name"] == {"field": "name", "message": "Field required", "pointer": "/name", "code": "missing"}
    assert faults["extra/field"]["pointer"] == "/extra~1field"
    assert faults["extra/field"]["code"] == "extra_forbidden"


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"[" * 100_000, b'{"max_users": ' + b"9" * 5000 + b"}", b'"text"', b"[]", b"null"],
    ids=["cut", "not utf-8", "nested", "huge number", "text", "list", "null"],
)
async def test_broken_bodies_are_400(platform, body):
    response = await platform.http.post("/organizations", content=body, headers={"Content-Type": "application/json"})
    check_error(response, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("bad", ["a\x00b", "\ud800"])
async def test_what_postgresql_cannot_store_is_400(platform, bad):
    body = json.dumps({"name": "Fine", "slug": "fine", "description": bad}).encode()
    response = await platform.http.post("/organizations", content=body, headers={"Content-Type": "application/json"})
    error = check_error(response, 400, "VALIDATION_ERROR")
    assert error["details"][0]["field"] == "description"
    check_error(await platform.get("/organizations?search=%00"), 400, "VALIDATION_ERROR")


async def test_malformed_and_missing_ids_are_404(platform):
    for path in ("/projects/nonsense", f"/projects/{MISSING}", "/nowhere", "/organizations/", "/builds/1/logs"):
        check_error(await platform.get(path), 404, "RESOURCE_NOT_FOUND")
    check_error(await platform.get(f"/projects/{MISSING}/environments/moon"), 404, "RESOURCE_NOT_FOUND")


async def test_405_tells_all_methods_that_are_allowed(platform):
    response = await platform.http.delete("/organizations")
    check_error(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, POST"


async def test_large_and_foreign_bodies_are_refused(platform):
    large = await platform.http.post(
        "/organizations", content=b" " * (1024 * 1024 + 1), headers={"Content-Type": "application/json"}
    )
    check_error(large, 413, "PAYLOAD_TOO_LARGE")

    async def chunks():
        for _ in range(20):
            yield b" " * 100_000

    streamed = await platform.http.post(
        "/organizations", content=chunks(), headers={"Content-Type": "application/json"}
    )
    check_error(streamed, 413, "PAYLOAD_TOO_LARGE")
    foreign = await platform.http.post("/organizations", data={"name": "x"})
    check_error(foreign, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_the_request_id_is_echoed_unless_it_is_strange(platform):
    response = await platform.get("/organizations", headers={"X-Request-ID": "req-42"})
    assert response.headers["x-request-id"] == response.json()["meta"]["request_id"] == "req-42"
    strange = await platform.get("/organizations", headers={"X-Request-ID": "a b" * 100})
    assert strange.headers["x-request-id"].startswith("req-")


async def test_a_fault_of_ours_shows_nothing_of_the_inside(app, platform, monkeypatch):
    monkeypatch.setattr(app.state, "parts", None)
    response = await platform.get("/organizations")
    error = check_error(response, 500, "INTERNAL_ERROR")
    assert "NoneType" not in response.text
    assert "details" not in error or error["details"] is None


async def test_a_database_that_is_away_is_503_with_retry_after(settings, caller, recorder):
    gone = settings.model_copy(
        update={"database_url": type(settings.database_url)("postgresql+psycopg://nobody@127.0.0.1:9/none")}
    )
    app = create_app(gone, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        response = await Caller(app, settings, Role.PLATFORM_ADMIN).get("/organizations")
        check_error(response, 503, "SERVICE_UNAVAILABLE")
        assert int(response.headers["retry-after"]) > 0
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client:
            seen = await client.get("/health")
            assert (seen.status_code, seen.json()["services"]["database"]) == (503, "unhealthy")
            assert "Database connection failed" in seen.json()["errors"]
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/livez")).status_code == 200
