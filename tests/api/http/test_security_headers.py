"""What every answer tells browsers, and what a browser makes of our pages."""

import re

import httpx2
import pytest

from api.http.security_headers import HSTS, SecurityHeaders
from runtime.ids import new_id
from tests.api.conftest import BASE_URL

COMMON = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture
async def anybody(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client:
        yield client


@pytest.mark.parametrize("path", ["/livez", "/v1/organizations", "/nowhere", "/docs", "/v1/redoc", "/v1/openapi.json"])
async def test_every_answer_has_the_headers_once(anybody, path):
    for method in ("GET", "HEAD", "OPTIONS"):
        response = await anybody.request(method, path)
        names = [name.lower() for name, _ in response.headers.multi_items()]
        assert COMMON.items() <= dict(response.headers).items()
        assert len(names) == len(set(names))
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "server" not in names
        assert "strict-transport-security" not in names


async def test_data_is_not_stored_unless_it_can_be_asked_about_again(platform, world):
    resource = await platform.get(f"/projects/{world.project['id']}")
    assert resource.headers["cache-control"] == "private, no-cache"
    again = await platform.get(f"/projects/{world.project['id']}", headers={"If-None-Match": resource.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
    for path in ("/organizations", "/organizations/nothing", "/health"):
        assert (await platform.get(path)).headers["cache-control"] == "no-store"


async def test_pages_name_their_script_and_allow_no_other(anybody):
    for path in ("/docs", "/redoc"):
        response = await anybody.get(path)
        policy = response.headers["content-security-policy"]
        [scripts] = re.findall(r"script-src ([^;]*)", policy)
        assert "unsafe" not in scripts
        assert ("sha256-" in scripts) == ("<script>" in response.text)


async def ask(app) -> list[tuple[bytes, bytes]]:
    seen = []

    async def send(message):
        seen.append(message)

    await app({"type": "http"}, None, send)
    return seen[0]["headers"]


async def bare(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
    await send({"type": "http.response.body", "body": b""})


async def test_https_is_insisted_on_only_where_clients_use_it():
    assert HSTS in await ask(SecurityHeaders(bare, https=True))
    assert HSTS not in await ask(SecurityHeaders(bare, https=False))
    assert [value for name, value in await ask(SecurityHeaders(bare, https=True)) if name == b"cache-control"] == [
        b"max-age=60"
    ]


async def test_names_with_underscores_are_none_of_ours(anybody, platform):
    """`X_Request_Id` is `X-Request-Id` for servers that make variables of headers; here it is a stranger's header."""
    said = {"X_Request_Id": "forged-1", "x-request_id": "forged-2", "X_Forwarded_For": "198.51.100.1"}
    token = {"X_Authorization": f"Bearer {platform.token}", "authorization_": f"Bearer {platform.token}"}
    answer = await anybody.get("/v1/organizations", headers={**said, **token})
    assert answer.status_code == 401
    assert answer.headers["x-request-id"].startswith("req-")
    for _ in range(2):
        wanted = {"name": "Underscored", "slug": f"u-{new_id()}"}
        made = await platform.post("/organizations", wanted, headers={"Idempotency_Key": "one-key"})
        assert made.status_code == 201
        assert "idempotent-replayed" not in made.headers
