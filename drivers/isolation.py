"""Whether this machine can isolate other people's code: checked once, before any of it runs."""

from domain.errors import ErrorCode, TerminalError
from drivers import sandbox
from drivers.bridge import network

_OTHERWISE = "or set DELIVERY_TRUSTED_CODE=true if all code that is built here is trusted"


def check() -> None:
    """Try a sandbox and a network namespace. A machine without a compiler gets a different message.

    Raises:
        TerminalError: BUILD_ISOLATION_UNAVAILABLE.
    """
    if not sandbox.available() or not network.available():
        raise TerminalError(
            "Code must run isolated here, and this machine does not let us: allow user namespaces (bubblewrap needs "
            "them; in a container its runtime must allow them, too) on a processor of x86-64 or arm64, "
            f"{_OTHERWISE}.",
            code=ErrorCode.BUILD_ISOLATION_UNAVAILABLE,
        )
