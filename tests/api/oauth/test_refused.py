"""Tokens that somebody made up, and what a good one costs."""

import base64
import hashlib
import hmac
import json
import time
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from api.auth.revocation_list import Refused, Traits, issued_s
from api.auth.signing_keys import SigningKeys
from api.auth.tokens import MAX_CACHED, TokenVerifier
from api.http.errors import UnauthenticatedError
from domain.permissions import Role, permissions_of
from runtime.ids import new_id, now
from runtime.keys import ensure_key, key_file, key_id, load_private_key, public_pem
from runtime.settings import Settings
from runtime.tokens import Subject, issue_token
from storage.models import Revocation

ORG = "0193b5a0-0000-7000-8000-00000000000a"


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    made = Settings(data_dir=tmp_path_factory.mktemp("keys"))
    ensure_key(key_file(made))
    return made


@pytest.fixture(scope="module")
def own(settings):
    return load_private_key(settings)


@pytest.fixture(scope="module")
def stranger():
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def refused() -> Refused:
    return Refused()


@pytest.fixture
def verifier(settings, refused) -> TokenVerifier:
    return TokenVerifier(settings, SigningKeys(settings), refused)


@pytest.fixture
def quick_passwords() -> None:
    """There are none here."""


@pytest.fixture
def good(settings) -> str:
    return issue_token(settings, Subject("ada", Role.DEVELOPER, permissions_of(Role.DEVELOPER), organization=ORG))


@pytest.fixture
def forge(good, own):
    """Makes tokens that differ from a good one in the named ways; `...` leaves a claim or a header out."""
    claims = jwt.decode(good, options={"verify_signature": False})

    def make(*, key=own, algorithm="RS256", headers=None, **changes):
        body = {name: value for name, value in {**claims, **changes}.items() if value is not ...}
        head = {"typ": "at+jwt", "kid": key_id(own.public_key()), **(headers or {})}
        return jwt.encode(
            body, key, algorithm=algorithm, headers={name: value for name, value in head.items() if value is not ...}
        )

    return make


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def by_hand(token: str, secret: bytes | None, **headers: object) -> str:
    """A token with other headers, signed with HMAC or not at all: libraries refuse to make these."""
    head, body, _ = token.split(".")
    changed = json.loads(base64.urlsafe_b64decode(head + "==")) | headers
    signed = f"{_part(changed)}.{body}"
    mac = b"" if secret is None else hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_a_good_one_is_accepted(verifier, good, forge):
    assert verifier.verify(good).subject == "ada"
    assert verifier.verify(forge()).credential == "user:ada"
    assert verifier.verify(forge(client_id="ada")).credential == "client:ada"


def test_whatever_is_made_up_is_refused(verifier, good, forge, own, stranger):
    pem = public_pem(own.public_key()).encode()
    jwk = json.loads(RSAAlgorithm.to_jwk(stranger.public_key()))
    modulus = own.public_key().public_numbers().n.to_bytes(384, "big")
    bad = {
        "algorithm confusion: the PEM as secret": by_hand(good, pem, alg="HS256"),
        "algorithm confusion: the PEM without its end": by_hand(good, pem.strip(), alg="HS256"),
        "algorithm confusion: the modulus as secret": by_hand(good, modulus, alg="HS256"),
        "none": by_hand(good, None, alg="none"),
        "None": by_hand(good, None, alg="None"),
        "an empty signature": good.rpartition(".")[0] + ".",
        "no algorithm": by_hand(good, None, alg=None),
        "another RSA algorithm": forge(algorithm="PS256"),
        "RS512": forge(algorithm="RS512"),
        "wrong audience": forge(aud="another"),
        "no audience": forge(aud=...),
        "expired": forge(exp=int(time.time()) - 60),
        "no expiry": forge(exp=...),
        "not yet valid": forge(nbf=int(time.time()) + 3600),
        "issued in the future": forge(iat=int(time.time()) + 3600),
        "not issued at all": forge(iat=...),
        "foreign issuer": forge(iss="https://accounts.example.com"),
        "no issuer": forge(iss=...),
        "no id": forge(jti=...),
        "a stranger's key": forge(key=stranger),
        "jwk in the header": forge(key=stranger, headers={"jwk": jwk}),
        "jwk in the header, signed by us": forge(headers={"jwk": jwk}),
        "jku": forge(key=stranger, headers={"jku": "https://evil.example.com/jwks"}),
        "x5u": forge(key=stranger, headers={"x5u": "https://evil.example.com/cert"}),
        "x5c": forge(key=stranger, headers={"x5c": ["MII"]}),
        "kid with a path": forge(key=stranger, headers={"kid": "../../../../dev/null"}),
        "kid with SQL": forge(key=stranger, headers={"kid": "x' OR '1'='1"}),
        "kid is null": by_hand(good, b"", alg="HS256", kid=None),
        "kid is a list": by_hand(good, b"", alg="HS256", kid=["a"]),
        "no kid": forge(headers={"kid": ...}),
        "an ID token": forge(headers={"typ": "JWT"}),
        "no type": forge(headers={"typ": None}),
        "an unknown critical header": forge(headers={"crit": ["exp"]}),
        "unknown role": forge(role="emperor"),
        "no organization": forge(org=None),
        "an organization that is none": forge(org="acme"),
        "permissions not a list": forge(permissions="projects:read"),
        "no subject": forge(sub=...),
        "a subject nobody can read": forge(sub="a\u202eb\n"),
        "too long": "a" * 9000,
        "long and signed": forge(padding="x" * 9000),
        "garbage": "not.a.token",
        "empty": "",
        "deep": "e30." + _part({"a": "b"}) + ".",
    }
    for name, token in bad.items():
        with pytest.raises(UnauthenticatedError):
            pytest.fail(f"accepted: {name}, as {verifier.verify(token)}")


def test_a_verified_token_still_expires_and_can_still_be_revoked(verifier, refused, forge, monkeypatch):
    token, other = forge(exp=int(time.time()) + 30), forge(jti=str(new_id()))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert verifier.verify(token)
    refused.replace([Revocation(id=new_id(), kind="token", value=claims["jti"])])
    with pytest.raises(UnauthenticatedError, match="revoked"):
        verifier.verify(token)
    assert verifier.verify(other)
    refused.replace([])
    assert verifier.verify(token)
    later = time.time() + 41
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(UnauthenticatedError, match="expired"):
        verifier.verify(token)


def test_a_cached_token_is_checked_anew_when_the_keys_change(settings, refused, good):
    keyring = SigningKeys(settings)
    verifier = TokenVerifier(settings, keyring, refused)
    assert verifier.verify(good)
    keyring._keep_own = False
    keyring.replace([])
    assert verifier.verify(good)  # nothing else is known: the key of the settings stays
    keyring.own = None
    keyring._verifying = {"another": object()}
    keyring.generation += 1
    with pytest.raises(UnauthenticatedError):
        verifier.verify(good)


def test_what_is_remembered_of_tokens_is_bounded(verifier, forge):
    checked = verifier.check(forge())
    verifier._good.update({bytes([1]) + number.to_bytes(4, "big"): checked for number in range(MAX_CACHED - 1)})
    verifier.check(forge(jti=str(uuid4())))
    assert len(verifier._good) == MAX_CACHED


def test_revocations_are_of_tokens_families_and_subjects(refused):
    moment = now()
    mine, other = new_id(), new_id()

    def traits(**changes):
        base = {"token": "t", "family": "f", "subject": "s", "organization_id": mine}
        return Traits(**{**base, "issued_s": moment.timestamp() - 1, **changes})

    def revoke(kind, value, **more):
        refused.replace([Revocation(id=new_id(), kind=kind, value=value, **more)])

    revoke("token", "t")
    assert refused.holds(traits())
    assert not refused.holds(traits(token="t2"))
    revoke("family", "f")
    assert refused.holds(traits(token="t2"))
    assert not refused.holds(traits(family=""))
    revoke("subject", "s", organization_id=mine, issued_before=moment)
    assert refused.holds(traits())
    assert not refused.holds(traits(organization_id=other))
    assert not refused.holds(traits(issued_s=moment.timestamp() + 0.001))
    revoke("subject", "s", issued_before=moment)
    assert refused.holds(traits(organization_id=other))


def test_who_logs_in_again_in_the_same_second_is_not_refused():
    token_id = str(new_id())
    precise = issued_s(token_id, int(time.time()))
    assert abs(precise - time.time()) < 1
    assert precise != int(precise) or precise == int(time.time())
    assert issued_s(token_id, 1000) == 1000  # an id that does not fit tells nothing
    assert issued_s("made up", 1000) == 1000


def test_a_signature_is_checked_once_a_token_however_often_it_comes(verifier, forge, monkeypatch):
    """That is what costs; what it costs here is measured by `python -m tests.bench.auth`."""
    checked: list[str] = []

    def counted(token: str, *key, **options):
        checked.append(token)
        return decode(token, *key, **options)

    decode = jwt.decode
    monkeypatch.setattr(jwt, "decode", counted)
    known = [forge(jti=str(uuid4())) for _ in range(30)]
    for token in known * 10:
        assert verifier.verify(token).subject == "ada"
    assert checked == known
    with pytest.raises(UnauthenticatedError):
        verifier.verify(known[0][:-4] + "AAAA")
    assert len(checked) == len(known) + 1
