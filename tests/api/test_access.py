"""Who gets in, and what of whom they see."""

import hmac
import itertools
import json
from datetime import timedelta

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.utils import base64url_decode, base64url_encode

from domain.permissions import GRANTS, Role, Scope, granted
from runtime.keys import key_id, load_private_key
from runtime.tokens import Subject, issue_token
from tests.api.conftest import BASE_URL
from tests.support.facts import facts


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
    assert facts(response.json()["error"]) == {"missing_permission": ["projects:write"]}


def test_roles_grow_and_know_every_scope():
    chain = [GRANTS[role] for role in Role]
    assert all(less <= more for less, more in itertools.pairwise(chain))
    assert GRANTS[Role.PLATFORM_ADMIN] == set(Scope)
    assert granted(Role.VIEWER, ["deployments:write", "projects:read"]) == {Scope.PROJECTS_READ}
