"""How many files the parts may have open at once: each connection of a user is two of Envoy's."""

import resource
from collections.abc import Callable

WANTED = 65_536
ENOUGH = 4_096
LEAST = 256
"""Below this PostgreSQL, Temporal or the API end in the middle of their start, each with a message of its own."""


def raise_open_files(warn: Callable[[str], None]) -> None:
    """Use what this process may have; its children inherit it. The limit that only root may raise stays.

    Args:
        warn: gets one line for people when that is little.

    Raises:
        ValueError: it is too little for the stack to come up.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if 0 <= soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    advice = "raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker)"
    if most < LEAST:
        raise ValueError(f"at most {most} files may be open at once, and the stack needs {LEAST}: {advice}")
    if most < ENOUGH:
        warn(
            f"warning: at most {most} files may be open at once, so some {most // 4} users at once are served: {advice}"
        )
