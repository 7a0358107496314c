"""Who gets in, and what of whom they see."""

import hmac
import itertools
import json
import re
from datetime import timedelta

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.utils import base64url_decode, base64url_encode

from domain.access import GRANTS, Role, Scope, granted
from domain.people import Action
from runtime.ids import now
from runtime.keys import key_id, load_private_key
from runtime.tokens import Subject, issue_token
from tests.api.conftest import BASE_URL

MISSING = "0193b5a0-0000-7000-8000-000000000000"


@pytest.fixture
async def anybody(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client:
        yield client


@pytest.fixture(scope="module")
def forge(settings):
    """Makes tokens that differ from a good one in the named ways; `...` leaves a claim out."""
    own = load_private_key(settings)
    good = issue_token(settings, Subject("user", Role.PLATFORM_ADMIN, [Scope.ORGANIZATIONS_READ]))
    claims = jwt.decode(good, own.public_key(), algorithms=["RS256"], audience=settings.jwt_audience)
    good_kid = key_id(own.public_key())

    def make(*, key=own, algorithm="RS256", typ="at+jwt", kid=good_kid, **changes):
        body = {name: value for name, value in {**claims, **changes}.items() if value is not ...}
        return jwt.encode(body, key, algorithm=algorithm, headers={"typ": typ, "kid": kid})

    return make


def hmac_signed(token: str, secret: bytes) -> str:
    """The token with its algorithm changed to HS256, signed with the public key as if that were a secret."""
    header, body, _ = token.split(".")
    changed = json.loads(base64url_decode(header)) | {"alg": "HS256"}
    signed = base64url_encode(json.dumps(changed).encode()).decode() + "." + body
    return signed + "." + base64url_encode(hmac.digest(secret, signed.encode(), "sha256")).decode()


async def test_a_good_token_of_our_own_making_gets_in(forge, anybody):
    headers = {"Authorization": f"Bearer {forge()}"}
    assert (await anybody.get("/v1/organizations", headers=headers)).status_code == 200


async def test_bad_tokens_are_401(settings, forge, anybody):
    public = load_private_key(settings).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    bad = {
        "expired": forge(exp=1),
        "issuer": forge(iss="http://elsewhere"),
        "audience": forge(aud="another"),
        "no expiry": forge(exp=...),
        "no audience": forge(aud=...),
        "type": forge(typ="JWT"),
        "stranger's key": forge(key=stranger),
        "unknown kid": forge(kid="other"),
        "public key as secret": hmac_signed(forge(), pem),
        "unsigned": forge(key="", algorithm="none"),
        "unknown role": forge(role="emperor"),
        "no organization": forge(role="viewer"),
        "permissions not a list": forge(permissions="organizations:read"),
        "garbage": "not.a.token",
        "huge": "a" * 10_000,
    }
    for name, token in bad.items():
        response = await anybody.get("/v1/organizations", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401, name
        assert response.json()["error"]["code"] == "AUTHENTICATION_FAILED"
        assert "invalid_token" in response.headers["www-authenticate"]


async def test_missing_and_other_credentials_are_401(anybody):
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}, {"X-API-Key": "sk-live"}):
        response = await anybody.get("/v1/organizations", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert "not an API key" in response.json()["error"]["message"]


async def test_a_role_cuts_down_what_a_token_claims(settings, anybody, world):
    subject = Subject("user", Role.VIEWER, [Scope.PROJECTS_WRITE, "made:up"], organization=world.org["id"])
    headers = {"Authorization": f"Bearer {issue_token(settings, subject, timedelta(minutes=1))}"}
    body = {"name": "One", "slug": "one", "repository_url": "https://example.com/one"}
    response = await anybody.post(f"/v1/organizations/{world.org['id']}/projects", json=body, headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["details"] == {"missing_permission": ["projects:write"]}


def test_roles_grow_and_know_every_scope():
    chain = [GRANTS[role] for role in Role]
    assert all(less <= more for less, more in itertools.pairwise(chain))
    assert GRANTS[Role.PLATFORM_ADMIN] == set(Scope)
    assert granted(Role.VIEWER, ["deployments:write", "projects:read"]) == {Scope.PROJECTS_READ}


async def test_every_route_needs_credentials(app, anybody):
    document = app.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not operation["security"]:
                continue
            url = re.sub(r"\{\w+_id\}", MISSING, path).replace("{name}", "dev")
            response = await anybody.request(method.upper(), "/v1" + url)
            assert response.status_code == 401, (method, path)


class Kept(dict):
    """Names without a value stay as they are."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


CASE = {
    "name": "abc",
    "description": "d",
    "steps": [{"step_number": 1, "action": "look", "expected_result": "seen"}],
    "expected_result": "seen",
}
PROJECT = {"name": "One", "slug": "one", "repository_url": "https://example.com/one"}
RESULT = {"status": "passed", "duration_ms": 1, "assertions_run": 0, "assertions_passed": 0, "assertions_failed": 0}


async def test_everything_of_another_organization_is_404(*, app, world, other_world, build_of, caller):
    mine, stranger = await build_of(world, "7.0.0"), caller(Role.ADMIN, other_world.org["id"])
    case = await world.developer.made(f"/features/{world.feature['id']}/tests", CASE)
    result = await world.developer.made(f"/testcases/{case['id']}/results", RESULT)
    admin = caller(Role.ADMIN, world.org["id"])
    secret = await admin.made(f"/projects/{world.project['id']}/secrets", {"name": "A", "value": "one"})
    ids = {
        "testcase_id": case["id"],
        "result_id": result["id"],
        "project_id": world.project["id"],
        "requirement_id": world.requirement["id"],
        "feature_id": world.feature["id"],
        "build_id": mine["build_id"],
        "deployment_id": mine["deployment_id"],
        "operation_id": mine["operation_id"],
        "secret_id": secret["id"],
        "name": "dev",
    }
    bodies = {
        "requirements": {"title": "abc", "description": "d", "acceptance_criteria": ["x"]},
        "features": {"name": "abc", "description": "d"},
        "status": {"status": "completed"},
        "build-and-deploy": {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev"},
        "rollback": {"reason": "because"},
        "deploy": {"environment": "dev"},
        **{action: {"reason": "because"} for action in Action},
        "cancel": {},
        "tests": CASE,
        "results": RESULT,
        "{name}": {"policy": "queue"},
        **{f"{{{noun}_id}}": {"description": "x"} for noun in ("project", "requirement", "feature", "testcase")},
        "restore": {},
        "secrets": {"name": "B", "value": "two"},
        "{secret_id}": {"value": "two"},
        "builds": {"version_tag": "1.0.0", "git_branch": "main", "git_commit_hash": "abc123d"},
    }
    tried = 0
    for path, methods in app.openapi()["paths"].items():
        if "{" not in path or "{org_id}" in path:
            continue
        for method in methods:
            url = path.format(**ids)
            options = {"json": bodies[path.rsplit("/", 1)[1]]} if method in {"post", "patch"} else {}
            theirs = await stranger.http.request(method.upper(), url, **options)
            assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND"), (method, path)
            if method == "get" and not path.endswith("/events"):
                assert (await world.developer.get(url)).status_code == 200, path
            tried += 1
    assert tried >= 30
    for path in ("/operations", f"/operations?project_id={world.project['id']}"):
        assert mine["operation_id"] not in (await stranger.get(path)).text


async def test_organizations_paths_of_another_organization_are_403(app, caller, world, other_world):
    admin = caller(Role.ADMIN, world.org["id"])
    tried = 0
    bodies = {
        "post projects": PROJECT,
        "patch {user_id}": {"role": "viewer"},
        "post invitations": {"email": "ada@example.com", "role": "viewer"},
        "post service-accounts": {"name": "One", "role": "viewer"},
        "post clients": {
            "name": "One",
            "type": "public",
            "redirect_uris": ["https://example.com/back"],
            "scopes": ["projects:read"],
        },
        "post rotate-secret": None,
        "post api-keys": {"name": "ci", "scopes": ["projects:read"]},
        "post rotate": {},
        "post webhooks": {"url": "https://example.com"},
        "patch {webhook_id}": {"description": "x"},
        "post replay": {"since": f"{now():%FT%TZ}"},
    }
    for path, methods in app.openapi()["paths"].items():
        if "{org_id}" not in path:
            continue
        for method in methods:
            url = re.sub(r"\{\w+_id\}", MISSING, path.format_map(Kept(org_id=other_world.org["id"])))
            body = bodies.get(f"{method} {path.rsplit('/', 1)[1]}", {"name": "One"})
            options = {} if method in {"get", "delete"} else {"json": body}
            theirs = await admin.http.request(method.upper(), url, **options)
            assert (theirs.status_code, theirs.json()["error"]["code"]) == (403, "AUTHORIZATION_DENIED"), (method, path)
            tried += 1
    assert tried >= 20
