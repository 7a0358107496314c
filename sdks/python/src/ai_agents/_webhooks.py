"""Verifies what a webhook of the API sends."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ai_agents._errors import WebhookVerificationError

if TYPE_CHECKING:
    from ai_agents.models import WebhookEvent

TOLERANCE_S = 300
PREFIX = "whsec_"
OURS = "x-signature-256"
STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")


def verify(
    payload: bytes | str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    secrets: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE_S,
    now: float | None = None,
) -> WebhookEvent:
    """The event of a webhook, if it is ours and not old.

    `webhook-signature` (https://www.standardwebhooks.com) decides where it is there; else `X-Signature-256`, which has
    no time in it. Events may come twice: one whose `event_id` was seen before is a duplicate.

    Args:
        payload: the body as it came, before any JSON parser.
        headers: of the request; names in any case.
        secrets: the webhook's secret (`whsec_...`), or several of them while it is being changed.
        tolerance: seconds that its time may be from this machine's clock, in both directions.
        now: seconds since 1970; the clock's if it is not given.

    Raises:
        WebhookVerificationError: It is not ours, or too old, or its headers are missing.
        ValueError: There is no secret, or one that is none.
    """
    body = payload.encode() if isinstance(payload, str) else bytes(payload)
    known = [secrets] if isinstance(secrets, str) else list(secrets)
    if not known or not all(known):
        raise ValueError("no webhook secret was given")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {name.lower(): value for name, value in pairs}
    if STANDARD[2] in found:
        _verify_standard(body, found, known, tolerance, time.time() if now is None else now)
    elif OURS in found:
        _verify_ours(body, found[OURS], known)
    else:
        raise WebhookVerificationError(
            "the request has neither webhook-signature nor X-Signature-256: it is no webhook"
        )
    return _event(body)


def _verify_standard(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], tolerance: float, now: float
) -> None:
    missing = [name for name in STANDARD if not headers.get(name)]
    if missing:
        raise WebhookVerificationError(f"the header {missing[0]} is missing")
    moment = headers[STANDARD[1]]
    if not (moment.isascii() and moment.isdecimal()) or len(moment) > 15:
        raise WebhookVerificationError("webhook-timestamp is no number of seconds")
    age = now - int(moment)
    signed = f"{headers[STANDARD[0]]}.{moment}.".encode() + body
    expected = [base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()) for secret in secrets]
    given = [
        value for version, _, value in (one.partition(",") for one in headers[STANDARD[2]].split()) if version == "v1"
    ]
    if not any(hmac.compare_digest(one.encode(), other) for one in given for other in expected):
        raise WebhookVerificationError("no signature is right: another secret, or the body was changed on its way")
    if abs(age) > tolerance:
        side = "old" if age > 0 else "ahead of this machine's clock"
        words = (
            f"the signature is right, but {abs(age):.0f} s {side}; {tolerance:.0f} are allowed: is this clock right?"
        )
        raise WebhookVerificationError(words)


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a webhook secret is whsec_ and base64") from None


def _verify_ours(body: bytes, header: str, secrets: Sequence[str]) -> None:
    expected = ["sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    if not any(hmac.compare_digest(header.strip().encode(), one.encode()) for one in expected):
        raise WebhookVerificationError(
            "X-Signature-256 is not right: another secret, or the body was changed on its way"
        )


def _event(body: bytes) -> WebhookEvent:
    from ai_agents._events import event_of

    try:
        data = json.loads(body)
    except ValueError:
        raise WebhookVerificationError("the signature is right, but the body is no JSON") from None
    if not isinstance(data, dict):
        raise WebhookVerificationError("the signature is right, but the body is no JSON object")
    return event_of(data)  # pyright: ignore[reportUnknownArgumentType]
