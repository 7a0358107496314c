"""What went wrong between here and the server, in words that say what to do."""

from __future__ import annotations

import ssl

import httpx2

from ai_agents._errors import APIConnectionError, APITimeoutError

TRUST = "trust its authority on this machine or by SSL_CERT_FILE, or give an `http_client` that does"


def fault_of(error: httpx2.HTTPError, name: str, root: str, seconds: float) -> APIConnectionError:
    """The error that a user sees."""
    words = str(error) or type(error).__name__
    if isinstance(error, (httpx2.ConnectTimeout, httpx2.PoolTimeout)):
        text = f"{name}: no connection to {root} within {seconds:g} s: is it reachable from here?"
        return APITimeoutError(text, unsent=True)
    if isinstance(error, httpx2.TimeoutException):
        return APITimeoutError(f"{name}: no answer of {root} within {seconds:g} s; `timeout` allows more")
    if _is_certificate(error):
        text = f"{name}: the certificate of {root} is not trusted: {words}. Is it the right server? If so: {TRUST}"
        return APIConnectionError(text, retryable=False, unsent=True)
    if isinstance(error, httpx2.ConnectError):
        text = f"{name}: {root} cannot be reached: {words}. Is base_url right, and is the server up?"
        return APIConnectionError(text, unsent=True)
    if isinstance(error, (httpx2.ProxyError, httpx2.UnsupportedProtocol)):
        return APIConnectionError(f"{name}: {root} cannot be reached: {words}", retryable=False)
    return APIConnectionError(f"{name}: the connection to {root} broke before the answer was whole: {words}")


def _is_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
