"""Selects the builder that runs other people's code on this machine."""

from pathlib import Path

from domain.errors import ErrorCode, TerminalError
from drivers import isolation, sandbox
from drivers.builders.base import Builder
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.builders.process import ProcessBuilder
from drivers.clean_env import CodePath
from drivers.egress.sandboxes import Sandboxes


def select_builder(
    name: str,
    *,
    trusted_code: bool,
    hidden: tuple[Path, ...] = (),
    path: CodePath | None = None,
    ways: Sandboxes | None = None,
) -> Builder:
    """`auto` isolates if that is possible. Without isolation, code runs only if it is trusted.

    Args:
        name: auto, process or bubblewrap.
        trusted_code: may code run without isolation?
        hidden: folders and files that builds must not see.
        path: folders to search for programs; None: the usual ones.
        ways: egress of isolated builds; None: no egress.

    Raises:
        TerminalError: BUILD_ISOLATION_UNAVAILABLE.
        ValueError: no such builder.
    """
    if name not in ("auto", "process", "bubblewrap"):
        raise ValueError(f"There is no builder {name!r}; choose auto, process or bubblewrap.")
    if name != "process" and not trusted_code:
        isolation.check()
        return BubblewrapBuilder(hidden, path, ways=ways)
    if name != "process" and sandbox.can_shield():
        return BubblewrapBuilder(hidden, path, trusted=True)
    if name != "bubblewrap" and trusted_code:
        return ProcessBuilder(path)
    why = (
        "bubblewrap does not work on this machine: allow user namespaces, or choose the builder 'auto'"
        if trusted_code
        else "the builder 'process' does not isolate: choose 'auto', or set DELIVERY_TRUSTED_CODE=true if all code "
        "that is built here is trusted"
    )
    raise TerminalError(f"Builds must run isolated here, and {why}.", code=ErrorCode.BUILD_ISOLATION_UNAVAILABLE)
