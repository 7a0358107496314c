"""From the first start to the first call: docs/authentication.md, as it is walked there."""

from api.cli.bootstrap_admin import COMMAND_LINE, LOOPBACK, first_admin
from storage.models import User
from tests.api.oauth.conftest import Known, claims_of, text_of

EMAIL = "root@example.com"


async def test_the_printed_password_leads_to_a_token_an_organization_and_a_key(rows, flow, http):
    password = await first_admin(rows, EMAIL)
    assert await first_admin(rows, EMAIL) is None, "and the application is there once"
    browser = flow(Known(str(COMMAND_LINE), None), redirect=LOOPBACK)
    root = User(email=EMAIL)
    assert (await browser.login(root, password)).status_code == 303
    assert "Delivery command line" in text_of(await browser.http.get(browser.address()))
    allowed = await browser.submit(browser.address(), "allow")
    assert allowed.headers["location"].startswith(f"{LOOPBACK}?code=")
    code = allowed.headers["location"].split("code=")[1].split("&")[0]
    tokens = (await browser.exchange(code)).json()
    assert claims_of(tokens["access_token"])["role"] == "platform_admin"
    auth = {"Authorization": f"Bearer {tokens['access_token']}"}
    made = await http.post("/v1/organizations", json={"name": "Acme", "slug": "first"}, headers=auth)
    org = made.json()["data"]["id"]
    body = {"name": "ci", "scopes": ["projects:read"]}
    key = (await http.post(f"/v1/organizations/{org}/api-keys", json=body, headers=auth)).json()["data"]["key"]
    assert (await http.get(f"/v1/organizations/{org}/projects", headers={"X-API-Key": key})).status_code == 200
