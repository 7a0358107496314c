"""Outside issuers: what of theirs counts, and what happens when they change keys or are down."""

import asyncio
import base64
import json
import time
from contextlib import suppress
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_curve
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from api.auth.claims import outside_principal
from api.auth.external_issuer import MAX_BYTES, OutsideIssuer
from api.auth.revocation_list import Refused
from api.auth.signing_keys import SigningKeys
from api.auth.tokens import TokenVerifier
from api.http.errors import UnauthenticatedError
from domain.permissions import Role, Scope
from runtime.keys import ensure_key, key_file
from runtime.settings import Settings
from runtime.trusted_issuers import TrustedIssuer
from tests.api.oauth.conftest import eventually

ISSUER = "https://login.corp.example"
SECRET = "secret" * 6
ORG, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
def quick_passwords() -> None:
    """There are none here."""


class Keys:
    """A server with a JWK set that can change, grow, or go away."""

    def __init__(self) -> None:
        self.body = b'{"keys": []}'
        self.status = "200 OK"
        self.asked = 0
        self.url = ""

    def publish(self, *keys: dict[str, object]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + self.body)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()


@pytest.fixture
async def keys():
    served = Keys()
    server = await asyncio.start_server(served.answer, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    async with server:
        yield served


@pytest.fixture(scope="module")
def signing():
    return generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key, kid: str, **more: object) -> dict[str, object]:
    made = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, **more}


def trusting(url: str, **changes: object) -> TrustedIssuer:
    base = {"name": "corp", "issuer": ISSUER, "audience": "delivery", "jwks_url": url, "role": "viewer"}
    return TrustedIssuer(**{**base, "organization": ORG, **changes})


def token(key, kid: str | None = "one", algorithm: str = "RS256", typ: str = "at+jwt", **changes: object) -> str:
    moment = int(time.time())
    claims = {"iss": ISSUER, "aud": "delivery", "sub": "ada", "iat": moment, "exp": moment + 60, **changes}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"typ": typ, **({"kid": kid} if kid else {})})


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    made = Settings(data_dir=tmp_path_factory.mktemp("keys"))
    ensure_key(key_file(made))
    return made


def verifier_of(settings: Settings, issuer: OutsideIssuer) -> TokenVerifier:
    return TokenVerifier(settings, SigningKeys(settings), Refused(), [issuer])


async def test_new_keys_are_found_and_known_ones_kept_while_the_issuer_is_down(settings, keys, signing):
    issuer = OutsideIssuer(trusting(keys.url), again_s=0.05)
    verifier = verifier_of(settings, issuer)
    keys.publish(jwk(signing, "one"))
    running = asyncio.create_task(issuer.run())
    try:
        await _accepted(verifier, token(signing))
        keys.publish(jwk(signing, "one"), jwk(signing, "two", alg="RS256"))
        with pytest.raises(UnauthenticatedError):
            verifier.verify(token(signing, "two"))  # nobody waits for another server
        await _accepted(verifier, token(signing, "two"))
        keys.status = "503 Service Unavailable"
        with pytest.raises(UnauthenticatedError):
            verifier.verify(token(signing, "three"))
        await eventually(lambda asked=keys.asked: _true(keys.asked > asked))
        assert verifier.verify(token(signing)).subject == "corp:ada"
    finally:
        running.cancel()


async def _true(value: object) -> bool:
    return bool(value)


async def _accepted(verifier: TokenVerifier, given: str) -> None:
    async def accepted() -> bool:
        with suppress(UnauthenticatedError):
            return bool(verifier.verify(given))
        return False

    await eventually(accepted)


async def test_tokens_of_strangers_make_us_ask_once_a_minute_at_most(settings, keys, signing):
    issuer = OutsideIssuer(trusting(keys.url))
    verifier = verifier_of(settings, issuer)
    running = asyncio.create_task(issuer.run())
    try:
        await eventually(lambda: _true(keys.asked))
        for number in range(50):
            with pytest.raises(UnauthenticatedError):
                verifier.verify(token(signing, f"kid-{number}"))
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert keys.asked == 1
    finally:
        running.cancel()


async def test_keys_that_cannot_be_used_safely_are_left_out(settings, keys, signing):
    curve = new_curve(SECP256R1())
    weak = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
    keys.publish(
        jwk(signing, "good"),
        jwk(signing, "encryption", use="enc"),
        jwk(signing, "another algorithm", alg="RS512"),
        jwk(weak, "weak"),
        {"kty": "oct", "kid": "secret", "k": base64.b64encode(SECRET.encode()).decode()},
        {"kty": "RSA", "kid": "broken", "n": "?", "e": "AQAB"},
        {**ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "curve"},
        {"kty": "RSA"},
    )
    issuer = OutsideIssuer(trusting(keys.url, algorithms=("RS256", "ES256")))
    await issuer.look()
    found = {kid: key.algorithms for kid, key in issuer._keys.items()}
    assert found == {"good": ("RS256",), "curve": ("ES256",)}
    verifier = verifier_of(settings, issuer)
    assert verifier.verify(token(curve, "curve", "ES256")).subject == "corp:ada"
    with pytest.raises(UnauthenticatedError):
        verifier.verify(token(SECRET, "secret", "HS256"))


@pytest.mark.parametrize(
    "body", [b"no json", b"[]", b'{"keys": 1}', b'{"keys": ["a"]}', b"[" * 100_000, b"x" * (MAX_BYTES + 1)]
)
async def test_an_answer_that_makes_no_sense_changes_nothing(settings, keys, signing, body):
    issuer = OutsideIssuer(trusting(keys.url))
    keys.publish(jwk(signing, "one"))
    await issuer.look()
    keys.body = body
    await issuer.look()
    assert verifier_of(settings, issuer).verify(token(signing)).role is Role.VIEWER


async def test_what_an_issuer_says_of_itself_is_checked(settings, keys, signing):
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    issuer = OutsideIssuer(trusting(keys.url))
    keys.publish(jwk(signing, "one"))
    await issuer.look()
    verifier = verifier_of(settings, issuer)
    assert verifier.verify(token(signing, None)).subject == "corp:ada"  # the only key
    bad = {
        "another audience": token(signing, aud="else"),
        "expired": token(signing, exp=1),
        "no expiry": jwt.encode({"iss": ISSUER, "aud": "delivery", "sub": "a", "iat": 1}, signing, "RS256"),
        "not yet": token(signing, nbf=int(time.time()) + 900),
        "another key": token(stranger),
        "an ID token": token(signing, typ="JWT"),
        "in our name": token(signing, iss=settings.jwt_issuer),
        "another issuer": token(signing, iss=ISSUER + "/"),
    }
    for name, given in bad.items():
        with pytest.raises(UnauthenticatedError):
            pytest.fail(f"{name}: {verifier.verify(given)}")


def test_claims_are_read_as_the_settings_say():
    issuer = trusting(
        "https://login.corp.example/jwks",
        organization=None,
        organization_claim="tenant",
        organizations=(ORG,),
        role=None,
        role_claim="groups",
        roles={"builders": "developer", "chiefs": "platform_admin"},
        scope_claim="scp",
    )

    def read(**claims: object):
        return outside_principal({"sub": "ada", "tenant": str(ORG), "scp": "", **claims}, issuer)

    builder = read(
        groups=["others", "builders", "viewer"], scp="projects:read deployments:approve", email="a@b.example"
    )
    assert (builder.role, builder.organization_id, builder.subject) == (Role.DEVELOPER, ORG, "corp:ada")
    assert builder.permissions == {Scope.PROJECTS_READ}
    assert (builder.credential, builder.email) == ("user:corp:ada", "a@b.example")
    assert read(groups="chiefs").role is Role.PLATFORM_ADMIN
    for wrong in (
        {"groups": ["platform_admin"]},  # only by the mapping
        {"groups": []},
        {"groups": ["builders"], "tenant": str(OTHER)},
        {"groups": ["builders"], "tenant": "acme"},
        {"groups": ["builders"], "sub": "x" * 300},
    ):
        with pytest.raises(ValueError, match=r"role|say|badly|subject"):
            read(**wrong)


def test_settings_that_would_be_unsafe_are_refused(tmp_path):
    good = {"name": "corp", "issuer": ISSUER, "audience": "a", "jwks_url": "https://login.corp.example/jwks"}

    def settings(*issuers: dict[str, object], **more: object) -> Settings:
        return Settings(data_dir=tmp_path, trusted_issuers=issuers, **more)

    assert settings(good).trusted_issuers[0].types == ("at+jwt", "application/at+jwt")
    local = {**good, "jwks_url": "http://127.0.0.1:9/jwks"}
    assert settings(local)
    for wrong, more in (
        ((local,), {"mode": "production"}),
        (({**good, "jwks_url": "http://login.corp.example/jwks"},), {}),
        (({**good, "jwks_url": "file:///etc/passwd"},), {}),
        (({**good, "algorithms": ["HS256"]},), {}),
        (({**good, "algorithms": ["none"]},), {}),
        ((good, good), {}),
        (({**good, "issuer": "http://delivery-engine.localhost"},), {}),
        (({**good, "surprise": 1},), {}),
    ):
        with pytest.raises(ValidationError):
            settings(*wrong, **more)
