"""Keys that sign what builds were made of: ECDSA on P-256, which every tool that checks such signatures knows."""

import hashlib
import json
from base64 import urlsafe_b64encode
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)

ES256: Final = "ES256"
_COORDINATE: Final = 32  # bytes, RFC 7518, 6.2.1.2


def new_key() -> EllipticCurvePrivateKey:
    """A new private key."""
    return generate_private_key(SECP256R1())


def private_pem(key: EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, unencrypted: to be sealed."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: EllipticCurvePublicKey) -> str:
    """SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def read_private(pem: bytes) -> EllipticCurvePrivateKey:
    """The key of an unencrypted PEM; raises `ValueError` when it is not one of P-256."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("not a key of P-256")  # noqa: TRY004 - as for other texts that are none
    return key


def read_public(pem: str) -> EllipticCurvePublicKey:
    """The key of a PEM; raises `ValueError` when it is not one of P-256."""
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("not a key of P-256")  # noqa: TRY004 - as for other texts that are none
    return key


def jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    """A public key as a JWK (RFC 7517) with the only algorithm it is used with."""
    return {**_required(key), "kid": key_id(key), "use": "sig", "alg": ES256}


def key_id(key: EllipticCurvePublicKey) -> str:
    """RFC 7638: SHA-256 of the JWK's required members in lexicographic order, base64url."""
    canonical = json.dumps(_required(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _required(key: EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (_base64url(number.to_bytes(_COORDINATE)) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
