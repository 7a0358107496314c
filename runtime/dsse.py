"""Signed envelopes: DSSE v1 (https://github.com/secure-systems-lab/dsse), signed with ECDSA on P-256 and SHA-256.

What is signed is the payload with its type in front (`pae`): a signature of one kind of text is none of another.
Reading is stricter than the protocol: one signature, canonical base64, each name once. What we make is never otherwise,
and what is otherwise was touched by somebody.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from domain.strict_json import DuplicateNameError, strict_json

IN_TOTO: Final = "application/vnd.in-toto+json"
# A provenance has some kilobytes: packages are in the SBOM, which it names by its digest.
MAX_ENVELOPE: Final = 1024 * 1024
_SIGNATURE: Final = frozenset({"keyid", "sig"})
_ENVELOPE: Final = frozenset({"payload", "payloadType", "signatures"})


class EnvelopeError(Exception):
    """It is no envelope of ours; the message is the second half of a sentence about it."""


@dataclass(frozen=True)
class Envelope:
    """What an envelope says before anybody has checked it."""

    payload: bytes
    payload_type: str
    key_id: str
    signature: bytes

    def is_signed_by(self, key: EllipticCurvePublicKey) -> bool:
        """Whether this key signed the payload as of this type. The algorithm is the key's, never the envelope's."""
        try:
            key.verify(self.signature, pae(self.payload_type, self.payload), ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: lengths count bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def signed(payload: bytes, payload_type: str, key: EllipticCurvePrivateKey, key_id: str) -> bytes:
    """An envelope as JSON. The same key and payload always give the same bytes (RFC 6979)."""
    signature = key.sign(pae(payload_type, payload), ECDSA(SHA256(), deterministic_signing=True))
    envelope = {
        "payload": _encoded(payload),
        "payloadType": payload_type,
        "signatures": [{"keyid": key_id, "sig": _encoded(signature)}],
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


def read_envelope(text: bytes) -> Envelope:
    """Take an envelope apart; its signature is not checked yet.

    Raises:
        EnvelopeError: it is too large, no JSON, or not what `signed` makes.
    """
    if len(text) > MAX_ENVELOPE:
        raise EnvelopeError(f"has {len(text)} bytes; at most {MAX_ENVELOPE} are read")
    found = _object(_parsed(text), _ENVELOPE, "is no DSSE envelope")
    signatures = found["signatures"]
    if not isinstance(signatures, Sequence) or isinstance(signatures, str) or len(signatures) != 1:
        count = len(signatures) if isinstance(signatures, Sequence) else 0
        raise EnvelopeError(f"has {count} signatures; one is expected")
    signature = _object(signatures[0], _SIGNATURE, "has no well-formed signature")
    if not all(isinstance(each, str) for each in (found["payloadType"], *signature.values())):
        raise EnvelopeError("is no DSSE envelope: payloadType, keyid and sig are texts")
    return Envelope(
        payload=_decoded(found["payload"], "payload"),
        payload_type=found["payloadType"],
        key_id=signature["keyid"],
        signature=_decoded(signature["sig"], "sig"),
    )


def _parsed(text: bytes) -> Any:
    try:
        return strict_json(text)
    except DuplicateNameError as error:
        raise EnvelopeError(f"is ambiguous: {error}") from error
    except (ValueError, RecursionError) as error:
        raise EnvelopeError("is not JSON") from error


def _object(value: Any, names: frozenset[str], fault: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != names:
        raise EnvelopeError(f"{fault}: it has exactly {', '.join(sorted(names))}")
    return value


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: object, name: str) -> bytes:
    """One text, one meaning: what decodes to the same bytes in another spelling is refused."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None or _encoded(data) != text:
        raise EnvelopeError(f"has a {name} that is not canonical base64 (RFC 4648, 4)")
    return data
