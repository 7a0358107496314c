"""The RS256 key that signs access tokens; its public halves by key id (RFC 7638 thumbprint)."""

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from jwt.algorithms import RSAAlgorithm
from jwt.utils import base64url_encode

from domain.errors import DependencyError
from runtime.private import write_private
from runtime.settings import Settings

_BITS = 3072
_MIN_BITS = 2048  # RFC 7518, 3.3


def key_file(settings: Settings) -> Path:
    """Where the signing key is: the setting, else the data folder's secrets."""
    return settings.jwt_private_key_file or settings.data_dir / "secrets" / "jwt.pem"


def ensure_key(path: Path) -> None:
    """Make the key at first start, readable by its owner alone."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = generate_private_key(public_exponent=65537, key_size=_BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, pem)


def load_private_key(settings: Settings) -> RSAPrivateKey:
    """The key tokens are signed with.

    Raises:
        DependencyError: it is missing, unreadable or not RSA of at least 2048 bits.
    """
    path = key_file(settings)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise DependencyError(
            f"the signing key {path} cannot be read ({error.strerror}); `make up` makes one, "
            "or name yours with DELIVERY_JWT_PRIVATE_KEY_FILE"
        ) from error
    except ValueError as error:
        raise DependencyError(f"{path} is not an unencrypted PEM private key") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < _MIN_BITS:
        raise DependencyError(f"{path} is not an RSA key of at least {_MIN_BITS} bits")
    return key


def load_public_keys(settings: Settings) -> dict[str, RSAPublicKey]:
    """Keys a token may be verified with (RS256 only), by `kid`."""
    public = load_private_key(settings).public_key()
    return {key_id(public): public}


def jwks(settings: Settings) -> dict[str, list[dict[str, str]]]:
    """The public keys as a JWK set (RFC 7517)."""
    keys = load_public_keys(settings).items()
    return {"keys": [{**_jwk(key), "kid": kid, "use": "sig", "alg": "RS256"} for kid, key in keys]}


def key_id(key: RSAPublicKey) -> str:
    """RFC 7638: SHA-256 of the JWK's required members in lexicographic order, base64url."""
    canonical = json.dumps(_jwk(key), sort_keys=True, separators=(",", ":"))
    return base64url_encode(hashlib.sha256(canonical.encode()).digest()).decode()


def _jwk(key: RSAPublicKey) -> dict[str, str]:
    jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: str(jwk[name]) for name in ("e", "kty", "n")}
