"""Signatures of requests: in the contract's format, and in that of Standard Webhooks."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from uuid import UUID

PREFIX = "whsec_"


def signatures(secrets: Sequence[str], event_id: UUID, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers with a request's signatures.

    `X-Signature-256` has room for one signature only. During a rotation it is the old secret's, so that a receiver that
    still has the old secret keeps working; `webhook-signature` carries both.

    Args:
        secrets: `whsec_` and base64; the newest first, then the previous one while it is valid.
        event_id: part of the signed text, as in Standard Webhooks.
        timestamp: of this attempt, in Unix time.
        body: exactly as sent.
    """
    signed = b"%b.%d.%b" % (str(event_id).encode(), timestamp, body)
    standard = [base64.b64encode(_hmac(_key(secret), signed)).decode() for secret in secrets]
    return {
        "X-Signature-256": f"sha256={_hmac(secrets[-1].encode(), body).hex()}",
        "webhook-id": str(event_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{one}" for one in standard),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()
