"""How the command ends."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; they are part of the interface and documented."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    ROLLED_BACK = 3
    WAITING = 4
    """For a person: an approval, a pause, a held rollout."""
    UNREACHABLE = 5
    """No server, or nothing sensible from it: network, certificate, a proxy's page, 502 to 504."""
    INTERRUPTED = 130
    """By Ctrl-C."""


MEANINGS = {
    Exit.DONE: "done, or still going well",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage: arguments, files or settings of yours",
    Exit.ROLLED_BACK: "rolled back",
    Exit.WAITING: "waiting for a person",
    Exit.UNREACHABLE: "the server cannot be reached, or something else answers in its place",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}
