"""The public keys of an external issuer: fetched in the background, kept while it is down.

A request never waits for another server. A token with an unknown key is refused and triggers a fetch, at most once a
minute, whatever tokens arrive.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from api.auth.signing_keys import VerifyingKey
from runtime.logging import get_logger
from runtime.trusted_issuers import TrustedIssuer

log = get_logger(__name__)

FETCH_LIMIT_S = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
LOOK_EVERY_S = 300.0
LOOK_AGAIN_S = 60.0
_MIN_RSA_BITS = 2048
# RFC 7518, 3.4: each elliptic curve has one algorithm.
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class OutsideIssuer:
    """One issuer of the settings, and its keys by `kid` as last fetched."""

    def __init__(self, trusted: TrustedIssuer, *, again_s: float = LOOK_AGAIN_S) -> None:
        self.trusted = trusted
        self.generation = 0
        self._keys: Mapping[str, VerifyingKey] = {}
        self._again_s = again_s
        self._wanted = asyncio.Event()

    def find(self, kid: object) -> VerifyingKey | None:
        """The key with that id, or the only key (OpenID Connect Core, 10.1). Triggers a fetch if there is none."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        found = self._keys.get(kid) if isinstance(kid, str) else None
        if found is None:
            self._wanted.set()
        return found

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
        while True:
            began = time.monotonic()
            await self.look()
            self._wanted.clear()
            await asyncio.sleep(self._again_s)
            left = LOOK_EVERY_S - (time.monotonic() - began)
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Fetch the keys once. On failure the known keys stay."""
        try:
            async with asyncio.timeout(FETCH_LIMIT_S):
                keys = _usable(json.loads(await self._fetch()), self.trusted.algorithms)
        except (
            httpx2.HTTPError,
            TimeoutError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ) as error:
            log.warning("outside_issuer.unanswered", issuer=self.trusted.issuer, cause=str(error)[:300])
            return
        self._keys = keys
        self.generation += 1
        log.info("outside_issuer.read", issuer=self.trusted.issuer, keys=len(keys))

    async def _fetch(self) -> bytes:
        async with (
            httpx2.AsyncClient(timeout=FETCH_LIMIT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", self.trusted.jwks_url, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise ValueError(f"answered {answer.status_code}")
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
            return body


def _usable(document: Mapping[str, Any], allowed: tuple[str, ...]) -> Mapping[str, VerifyingKey]:
    """The signature keys with an id and an allowed algorithm."""
    keys: dict[str, VerifyingKey] = {}
    for jwk in list(document["keys"])[:MAX_KEYS]:
        kid = jwk.get("kid")
        if not isinstance(kid, str) or jwk.get("use", "sig") != "sig" or jwk.get("kty") not in {"RSA", "EC", "OKP"}:
            continue
        try:
            key = jwt.PyJWK.from_dict(jwk).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        fitting = tuple(name for name in allowed if _fits(name, key) and jwk.get("alg", name) == name)
        if fitting:
            keys[kid] = VerifyingKey(fitting, key)
    return keys


def _fits(algorithm: str, key: object) -> bool:
    if isinstance(key, RSAPublicKey):
        return algorithm[:2] in {"RS", "PS"} and key.key_size >= _MIN_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name) == algorithm
    return isinstance(key, Ed25519PublicKey | Ed448PublicKey) and algorithm == "EdDSA"
