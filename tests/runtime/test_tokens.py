"""Development tokens verify with the published key, and with nothing else."""

import stat
from datetime import timedelta

import jwt
import pytest

from domain.errors import DependencyError
from runtime.keys import ensure_key, key_file, key_id, load_private_key, load_signer, published
from runtime.settings import Settings
from runtime.stack.token import development_token
from runtime.tokens import Subject, issue_token

SUBJECT = Subject(
    id="u1", role="developer", permissions=["projects:read", "builds:read"], organization="o1", email="u@x.test"
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    made = Settings(data_dir=tmp_path_factory.mktemp("a b"))
    ensure_key(key_file(made))
    return made


def test_a_token_verifies_with_the_published_key(settings: Settings):
    token = issue_token(settings, SUBJECT)
    header = jwt.get_unverified_header(token)
    key = load_signer(settings).verifying
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=settings.jwt_audience, issuer=settings.jwt_issuer)
    assert header["typ"] == "at+jwt"
    assert claims["permissions"] == ["builds:read", "projects:read"]
    assert claims["scope"] == "builds:read projects:read"
    assert (claims["sub"], claims["org"], claims["role"]) == ("u1", "o1", "developer")
    assert claims["exp"] - claims["iat"] == 3600
    assert {"jti", "client_id", "email"} <= claims.keys()


@pytest.mark.parametrize(
    ("sub", "email"), [("", "platform_admin"), ("ann", "ann"), ("a b/c+d", "a-b-c-d"), ("x" * 200, "x" * 64)]
)
def test_people_of_development_tokens_have_mailboxes_of_their_own(settings: Settings, sub: str, email: str):
    """Four eyes count whoever shares a mailbox as one human: nobody could approve for anybody on a laptop."""
    claims = jwt.decode(development_token(settings, sub=sub), options={"verify_signature": False})
    assert claims["email"] == f"{email}@delivery.localhost"


def test_the_jwk_set_verifies_it_too_and_holds_nothing_private(settings: Settings):
    token = issue_token(settings, SUBJECT)
    jwk = published(load_private_key(settings).public_key())
    keys = jwt.PyJWKSet.from_dict({"keys": [jwk]})
    key = keys[jwt.get_unverified_header(token)["kid"]]
    jwt.decode(token, key, algorithms=["RS256"], audience=settings.jwt_audience)
    assert set(jwk) == {"kty", "n", "e", "kid", "use", "alg"}


def test_the_key_id_is_the_thumbprint_of_rfc_7638():
    example = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }
    assert key_id(jwt.PyJWK.from_dict(example, "RS256").key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_key_is_made_once_and_kept_private(settings: Settings):
    path = key_file(settings)
    before = path.read_bytes()
    ensure_key(path)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(days=31)])
def test_a_lifetime_out_of_bounds_is_refused(settings: Settings, ttl: timedelta):
    with pytest.raises(ValueError, match="between"):
        issue_token(settings, SUBJECT, ttl)


def test_a_missing_or_broken_key_says_what_to_do(tmp_path):
    with pytest.raises(DependencyError, match="make up"):
        load_signer(Settings(data_dir=tmp_path))
    broken = tmp_path / "key.pem"
    broken.write_text("no key")
    with pytest.raises(DependencyError, match="not an unencrypted PEM"):
        load_signer(Settings(data_dir=tmp_path, jwt_private_key_file=broken))
