"""Errors of the SDK as faults: what happened, what to do, and how the command ends. Never a stack trace."""

import re
import ssl
from typing import Any, Final

from delivery_cli.exits import Exit
from delivery_cli.faults import Fault, Unreachable
from delivery_cli.output.clean import one_line

GATEWAY: Final = frozenset({502, 503, 504})
_CALLED: Final = re.compile(r"^[a-z_]+\.[a-z_]+: ")  # the SDK's word for what was asked
RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
HINTS: Final = {
    401: "`delivery login` again, or check DELIVERY_API_KEY or DELIVERY_TOKEN: wrong, expired or revoked?",
    403: "`delivery whoami` shows your role and what it allows; else ask an admin of the organization",
    404: "does it exist, and in this organization? `delivery history` lists deployments",
    409: "`delivery status` shows what is going on",
    412: "somebody changed it meanwhile: look again, then repeat",
    429: "wait, then repeat; the limits of your organization are in its settings",
}


def explain(error: Exception) -> Fault:
    """A fault for whatever was raised."""
    try:
        import ai_agents as sdk
    except ImportError:
        return unexpected(error)
    if isinstance(error, sdk.InvalidResponseError):
        return Unreachable(
            f"something else than the API answered: {one_line(str(error), 400)}",
            "a proxy, a login page, or a wrong address? `curl -v` shows it",
            retryable=True,
            facts={"code": "INVALID_RESPONSE"},
        )
    if isinstance(error, sdk.APITimeoutError):
        return Unreachable(
            f"no answer in time: {one_line(str(error), 300)}",
            "try again later",
            retryable=True,
            facts={"code": "TIMEOUT"},
        )
    if isinstance(error, sdk.APIConnectionError):
        return unreachable(error)
    if isinstance(error, sdk.APIError):
        return answered(error)
    return unexpected(error)


def unreachable(error: Exception) -> Unreachable:
    """No connection: why, and what to do about it."""
    causes = list(_causes(error))
    words = one_line(str(error), 300)
    if any(isinstance(one, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(one) for one in causes):
        return Unreachable(
            f"the server's certificate is not trusted: {words}",
            "is this the right address? A CA of your own: SSL_CERT_FILE=/path/ca.pem. Is this machine's clock right?",
            facts={"code": "CERTIFICATE"},
        )
    return Unreachable(
        f"cannot reach the server: {words}",
        "is it running, and is the address right (DELIVERY_URL, or `delivery login`)? Proxies: HTTPS_PROXY, NO_PROXY",
        retryable=True,
        facts={"code": "UNREACHABLE"},
    )


def answered(error: Any) -> Fault:
    """An error response of the API."""
    status = int(error.status)
    facts = {
        "code": error.code,
        "status": status,
        "details": error.details or None,
        "request_id": error.request_id,
        "retry_after": error.retry_after,
    }
    return Fault(
        _message(error),
        _hint(error, status),
        exit_code=Exit.UNREACHABLE if status in GATEWAY else Exit.USAGE if status in {400, 422} else Exit.FAILED,
        retryable=status in RETRIED or error.code == "IDEMPOTENCY_IN_PROGRESS",
        facts=facts,
    )


def _message(error: Any) -> str:
    message = _CALLED.sub("", one_line(str(error.message), 600))
    fields = [
        one for one in error.details or () if isinstance(one, dict) and one.get("field") and one.get("code") != "fact"
    ]
    told = "; ".join(f"{one['field']}: {one_line(str(one.get('message', '')), 200)}" for one in fields[:5])
    return f"{message} ({error.code or error.status})" + (f": {told}" if told else "")


def _hint(error: Any, status: int) -> str:
    hint = HINTS.get(status, "")
    if status in GATEWAY:
        hint = "the server, or a part of it, is down at the moment: try again later; /health tells which"
    if error.retry_after:
        hint = f"the server asks to wait {error.retry_after:g} s. {hint}".strip()
    if status == 401 and (skew := clock_skew(error)):
        hint = f"this machine's clock and the server's are {skew} apart: set the clock. Or: {hint}"
    return hint


def clock_skew(error: Any) -> str:
    """How far the clocks are apart, if that is more than two minutes: tokens are valid by the server's clock."""
    from email.utils import parsedate_to_datetime
    from time import time

    from delivery_cli.output.times import span

    headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None) or {}
    try:
        apart = abs(parsedate_to_datetime(headers["date"]).timestamp() - time())
    except (KeyError, ValueError, TypeError):
        return ""
    return span(apart) if apart > 120 else ""


def unexpected(error: Exception) -> Fault:
    """A fault of ours, or of the machine."""
    if isinstance(error, OSError):
        return Fault(f"{one_line(str(error), 300)}", "a file, a folder or the network of this machine")
    return Fault(
        f"unexpected: {type(error).__name__}: {one_line(str(error), 300)}",
        "this is a fault of the CLI; DELIVERY_DEBUG=1 shows where",
        facts={"code": "UNEXPECTED"},
    )


def _causes(error: BaseException | None) -> Any:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
