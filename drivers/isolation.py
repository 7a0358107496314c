"""Whether this machine can keep other people's code apart: asked once, before anything of it is run."""

from domain.errors import ErrorCode, TerminalError
from drivers import sandbox
from drivers.bridge import network

_OTHERWISE = "or set DELIVERY_TRUSTED_CODE=true if all code that is built here is trusted"


def check() -> None:
    """Try it: a sandbox, and a network of its own. A machine that cannot is told apart from one that lacks a compiler.

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
