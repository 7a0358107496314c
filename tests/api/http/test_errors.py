"""Every error comes in the envelope and tells a stranger what to do."""

import asyncio
import json

import httpx2
import pytest

from api.app import create_app
from domain.permissions import Role
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
    assert faults["name"] == {"field": "name", "message": "is required", "pointer": "/name", "code": "missing"}
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
    assert response.headers["allow"] == "GET, HEAD, POST, OPTIONS"


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
    monkeypatch.setitem(app.state._state, "parts", None)
    response = await platform.get("/organizations")
    error = check_error(response, 500, "INTERNAL_ERROR")
    assert "NoneType" not in response.text
    assert "details" not in error


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


async def test_head_is_get_without_the_body(platform, world):
    for path in ("/organizations", f"/projects/{world.project['id']}", "/nowhere", "/health"):
        got, head = await platform.get(path), await platform.http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers.get("etag") == got.headers.get("etag")
    check = await platform.http.head(f"/features/{world.feature['id']}/status")
    assert (check.status_code, check.headers["allow"]) == (405, "PATCH, OPTIONS")


async def test_head_does_not_follow_an_operation(world, build_of):
    made = await build_of(world, "8.0.0", live=False)
    path = f"/operations/{made['operation_id']}/events"
    response = await asyncio.wait_for(world.manager.http.head(path), 120)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_options_tells_the_methods(platform, world):
    response = await platform.http.options("/organizations")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    check_error(await platform.http.options("/nowhere"), 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("pagesize=5", "pagesize", "unknown_parameter"),
        ("page=1&page=2", "page", "duplicate_parameter"),
        ("search=%FF", "search", "encoding_invalid"),
        ("search=a%00b", "search", "encoding_invalid"),
        ("%FE=1", "query", "encoding_invalid"),
        ("page=", "page", "int_parsing"),
        ("page=0", "page", "greater_than_equal"),
        ("page_size=101", "page_size", "less_than_equal"),
        ("search=" + "a" * 300, "search", "string_too_long"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_400(platform, query, field, code):
    error = check_error(await platform.get(f"/organizations?{query}"), 400, "VALIDATION_ERROR")
    assert (error["details"][0]["field"], error["details"][0]["code"]) == (field, code)


async def test_strangers_hear_nothing_about_their_query(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL + "/v1") as stranger:
        check_error(await stranger.get("/organizations?pagesize=5"), 401, "AUTHENTICATION_FAILED")


async def test_what_is_too_long_is_refused(platform):
    check_error(await platform.get("/" + "a" * 9000), 414, "PAYLOAD_TOO_LARGE")
    check_error(await platform.get("/organizations?search=" + "a" * 9000), 414, "PAYLOAD_TOO_LARGE")
    check_error(await platform.get("/organizations", headers={"X-Long": "a" * 40_000}), 431, "PAYLOAD_TOO_LARGE")


async def test_strange_paths_are_404(platform):
    for path in ("/%00", "/projects/%FF", "/%C3%28", "/organizations%2F", "//organizations", "/../secret", "/a;b=c"):
        check_error(await platform.http.get(path), 404, "RESOURCE_NOT_FOUND")


async def test_a_slash_at_the_end_is_404_and_no_redirect(platform, world):
    for path in ("/organizations/", f"/projects/{world.project['id']}/", "/operations/", "/health/"):
        response = await platform.http.get(path, follow_redirects=False)
        check_error(response, 404, "RESOURCE_NOT_FOUND")
    check_error(await platform.post("/organizations/", {}), 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "headers", "ok"),
    [
        ("POST", {"Content-Type": "application/json; charset=utf-8"}, True),
        ("POST", {"Content-Type": 'application/json;charset="UTF-8"'}, True),
        ("POST", {"Content-Type": "application/json; charset=latin-1"}, False),
        ("POST", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, False),
        ("POST", {"Content-Type": "text/json"}, False),
        ("POST", {}, False),
        ("GET", {"Content-Type": "application/json"}, False),
        ("DELETE", {"Content-Type": "application/json"}, False),
    ],
)
async def test_only_json_in_utf_8_and_only_where_a_body_belongs(platform, method, headers, ok):
    path = "/organizations" if method != "DELETE" else "/testcases/any"
    response = await platform.http.request(method, path, content=b"{}", headers=headers)
    if ok:
        check_error(response, 400, "VALIDATION_ERROR")
    else:
        check_error(response, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert response.headers["accept"] == "application/json"


async def test_a_method_that_is_not_possible_is_405_whatever_it_brings(platform):
    headers = {"Content-Type": "application/json"}
    for method in ("DELETE", "TRACE"):
        response = await platform.http.request(method, "/organizations", content=b"{}", headers=headers)
        check_error(response, 405, "METHOD_NOT_ALLOWED")


async def test_a_body_in_another_encoding_is_refused_with_the_reason(app, platform):
    body = '{"name": "ü"}'.encode("latin-1")
    headers = {"Content-Type": "application/json"}
    error = check_error(
        await platform.http.post("/organizations", content=body, headers=headers), 400, "VALIDATION_ERROR"
    )
    assert error["details"][0]["field"] == "body"
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL + "/v1") as stranger:
        answer = await stranger.post("/organizations", content=body, headers=headers)
        check_error(answer, 401, "AUTHENTICATION_FAILED")


async def test_a_request_id_is_on_every_answer(app, platform):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as http:
        for method, path in (("GET", "/health"), ("OPTIONS", "/v1/organizations"), ("GET", "/docs"), ("GET", "/v0")):
            response = await http.request(method, path, headers={"X-Request-ID": "mine"})
            assert response.headers.get_list("x-request-id") == ["mine"]


async def test_an_id_is_spelled_in_one_way_only(platform, world):
    plain = world.feature["id"]
    for odd in (plain.replace("-", ""), f"urn:uuid:{plain}", f"{{{plain}}}", f"{plain}x", plain[:-1], f"{plain}%0a"):
        check_error(await platform.get(f"/features/{odd}"), 404, "RESOURCE_NOT_FOUND")
        check_error(await platform.patch(f"/features/{odd}/status", {"status": 1}), 404, "RESOURCE_NOT_FOUND")
    assert (await platform.get(f"/features/{plain.upper()}")).status_code == 200
