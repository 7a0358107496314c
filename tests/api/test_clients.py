"""Registered applications: exact addresses to be sent back to, and a secret only for those who can keep one."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.permissions import Role
from domain.redirect_uris import check_redirect
from tests.api.http.test_errors import check_error
from tests.api.people import organization, stored

APPLICATION = {
    "name": "Board",
    "type": "confidential",
    "redirect_uris": ["https://board.example.com/back?x=1", "http://127.0.0.1:8765/back", "http://[::1]/"],
    "scopes": ["projects:read", "deployments:read", "projects:read"],
}


@pytest.fixture(scope="module")
async def path(platform):
    return f"/organizations/{await organization(platform, 'apps')}/clients"


async def test_a_confidential_one_has_a_secret_shown_once(platform, rows, path):
    made = await platform.post(path, APPLICATION, headers={"Idempotency-Key": "board"})
    application = made.json()["data"]
    assert application["client_id"] == application["id"]
    assert application["redirect_uris"] == APPLICATION["redirect_uris"]
    assert application["scopes"] == ["deployments:read", "projects:read"]
    secret = application["client_secret"]
    one = await platform.get(f"{path}/{application['id']}")
    assert one.headers["etag"] == made.headers["etag"]
    assert "secret" not in one.text + (await platform.get(path)).text
    rotated = (await platform.post(f"{path}/{application['id']}/rotate-secret")).json()["data"]["client_secret"]
    assert rotated != secret
    held = await stored(rows)
    assert secret not in held
    assert rotated not in held


async def test_a_public_one_has_none(platform, path):
    application = await platform.made(path, {**APPLICATION, "type": "public"})
    assert application["client_secret"] is None
    one = f"{path}/{application['id']}"
    assert (await platform.get(one)).json()["data"]["type"] == "public"
    check_error(await platform.post(f"{one}/rotate-secret"), 400, "INVALID_STATE")


async def test_it_is_changed_and_deleted(platform, path):
    application = await platform.made(path, APPLICATION)
    one = f"{path}/{application['id']}"
    seen = {"If-Match": (await platform.get(one)).headers["etag"]}
    changed = await platform.patch(one, {"redirect_uris": ["https://new.example.com/"]}, headers=seen)
    assert changed.json()["data"]["redirect_uris"] == ["https://new.example.com/"]
    check_error(await platform.http.delete(one, headers=seen), 412, "PRECONDITION_FAILED")
    assert (await platform.http.delete(one)).status_code == 204
    assert (await platform.get(one)).json()["data"]["status"] == "disabled"
    check_error(await platform.patch(one, {"name": "x"}), 400, "INVALID_STATE")


BAD = (
    "http://example.com/",
    "https://example.com/#here",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://*.example.com/",
    "https://",
    "https:///back",
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://[::1",
    "https://[::1%x;sandbox]/",
    "https://[not-an-address]/",
    "http://127.0.0.1.example.com/",
    "http://localhost.example.com/",
    "http://192.168.0.1/",
    "//example.com",
    "/back",
    "javascript:alert(1)",
    "https://example.com\\@evil.example/",
    "https://example.com/ x",
    "https://exämple.com/",
)


@pytest.mark.parametrize("uri", BAD)
def test_where_nobody_is_sent_back_to(uri):
    with pytest.raises(ValueError):  # noqa: PT011 - whichever reason comes first
        check_redirect(uri)


@given(st.text() | st.from_regex(r"https?://[\w.:\[\]@*]{0,20}/.{0,9}"))
def test_any_text_is_an_address_or_is_refused_in_order(text):
    with suppress(ValueError):
        assert check_redirect(text).startswith(("https://", "http://"))


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uris": []},
        {"redirect_uris": ["http://example.com/"]},
        {"redirect_uris": ["https://example.com/"] * 2},
        {"redirect_uris": [f"https://example.com/{number}" for number in range(21)]},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"type": "secret"},
        {"name": " "},
    ],
)
async def test_what_is_no_application_is_400(platform, path, changed):
    check_error(await platform.post(path, {**APPLICATION, **changed}), 400, "VALIDATION_ERROR")


async def test_only_admins_see_and_make_them(caller, path):
    manager = caller(Role.RELEASE_MANAGER, path.split("/")[2])
    check_error(await manager.get(path), 403, "AUTHORIZATION_DENIED")
    check_error(await manager.post(path, APPLICATION), 403, "AUTHORIZATION_DENIED")
