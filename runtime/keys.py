"""Keys that sign access tokens; RSA keys are named by their RFC 7638 thumbprint."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from jwt.algorithms import RSAAlgorithm
from jwt.utils import base64url_encode

from domain.errors import DependencyError
from runtime.files import PRIVATE, write_whole
from runtime.settings import Settings

RS256: Final = "RS256"
HS256: Final = "HS256"
_BITS = 3072
_MIN_BITS = 2048  # RFC 7518, 3.3


@dataclass(frozen=True)
class Signer:
    """A key with the only algorithm it is used with."""

    kid: str
    algorithm: str
    key: RSAPrivateKey | bytes = field(repr=False)

    @property
    def verifying(self) -> RSAPublicKey | bytes:
        """What checks its signatures."""
        return self.key if isinstance(self.key, bytes) else self.key.public_key()


def load_signer(settings: Settings) -> Signer:
    """With the shared secret of the settings (HS256) where there is one, else with the key file (RS256).

    Raises:
        DependencyError: there is no usable key.
    """
    secret = settings.jwt_hs256_secret.get_secret_value().encode()
    if secret:
        kid = hashlib.sha256(b"delivery-engine token secret id" + secret).hexdigest()[:32]
        return Signer(kid, HS256, secret)
    return rsa_signer(load_private_key(settings))


def rsa_signer(key: RSAPrivateKey) -> Signer:
    """An RSA key as a signer."""
    return Signer(key_id(key.public_key()), RS256, key)


def new_private_key() -> RSAPrivateKey:
    """A new RSA key; takes a tenth of a second and more."""
    return generate_private_key(public_exponent=65537, key_size=_BITS)


def private_pem(key: RSAPrivateKey) -> bytes:
    """PKCS #8, unencrypted: to be sealed, or written for the owner alone."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: RSAPublicKey) -> str:
    """SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def read_private(pem: bytes) -> RSAPrivateKey:
    """The key of an unencrypted PEM.

    Raises:
        ValueError: it is not RSA of at least 2048 bits.
    """
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, RSAPrivateKey) or key.key_size < _MIN_BITS:
        raise ValueError(f"not an RSA key of at least {_MIN_BITS} bits")
    return key


def read_public(pem: str) -> RSAPublicKey:
    """The key of a PEM that we wrote."""
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, RSAPublicKey):
        raise TypeError("not an RSA key")
    return key


def key_file(settings: Settings) -> Path:
    """Where the signing key is: the setting, else the data folder's secrets."""
    return settings.jwt_private_key_file or settings.data_dir / "secrets" / "jwt.pem"


def ensure_key(path: Path) -> None:
    """Make the key at first start, readable by its owner alone."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, private_pem(new_private_key()), sync=True, mode=PRIVATE)


def load_private_key(settings: Settings) -> RSAPrivateKey:
    """The key tokens are signed with.

    Raises:
        DependencyError: it is missing, unreadable or not RSA of at least 2048 bits.
    """
    path = key_file(settings)
    try:
        return read_private(path.read_bytes())
    except OSError as error:
        raise DependencyError(
            f"the signing key {path} cannot be read ({error.strerror}); `make up` makes one, "
            "or name yours with DELIVERY_JWT_PRIVATE_KEY_FILE"
        ) from error
    except (ValueError, TypeError) as error:
        raise DependencyError(
            f"{path} is not an unencrypted PEM private key of RSA, at least {_MIN_BITS} bits"
        ) from error


def published(key: RSAPublicKey) -> dict[str, str]:
    """A public key as a JWK (RFC 7517) with the only algorithm it is used with."""
    return {**_jwk(key), "kid": key_id(key), "use": "sig", "alg": RS256}


def key_id(key: RSAPublicKey) -> str:
    """RFC 7638: SHA-256 of the JWK's required members in lexicographic order, base64url."""
    canonical = json.dumps(_jwk(key), sort_keys=True, separators=(",", ":"))
    return base64url_encode(hashlib.sha256(canonical.encode()).digest()).decode()


def _jwk(key: RSAPublicKey) -> dict[str, str]:
    jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: str(jwk[name]) for name in ("e", "kty", "n")}
