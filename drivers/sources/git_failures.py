"""Interprets git's error messages. Git has one exit code for all of them, so the text decides (LC_ALL=C)."""

import re
from enum import StrEnum

from domain.errors import DeliveryError, DependencyError, ErrorCode, TerminalError
from domain.repository_url import RepositoryUrl

SHOWN_STDERR = 500
# A server can send any text, and patterns with a gap take quadratic time in the length of a line.
MAX_LINES = 100
MAX_LINE = 300


class Complaint(StrEnum):
    """Kinds of failure that are handled differently."""

    REF_MISSING = "ref_missing"
    NOT_FOUND = "not_found"
    DENIED = "denied"
    HOST_KEY = "host_key"
    REDIRECT = "redirect"
    FORBIDDEN = "forbidden"
    DUMB = "dumb"
    DISK_FULL = "disk_full"
    UNREACHABLE = "unreachable"


# The first match wins: specific messages come before general ones ("Could not read from remote repository").
_WORDS: tuple[tuple[Complaint, tuple[str, ...]], ...] = (
    (Complaint.DISK_FULL, ("no space left on device",)),
    (
        Complaint.REF_MISSING,
        ("couldn't find remote ref", "not our ref", "unadvertised object"),
    ),
    (Complaint.DUMB, ("dumb http transport",)),
    (Complaint.FORBIDDEN, (r"transport '.*' not allowed",)),
    (Complaint.HOST_KEY, ("host key verification failed", "no .* host key is known")),
    (Complaint.REDIRECT, ("redirect", r"returned error: 30\d")),
    (
        Complaint.DENIED,
        (
            "could not read (?:username|password)",
            "authentication failed",
            r"permission denied \(",
            "returned error: 40[13]",
        ),
    ),
    (
        Complaint.NOT_FOUND,
        (
            "does not appear to be a git repository",
            "repository .*not found",
            "not a git repository",
            "returned error: 4(?:04|10)",
            "invalid gitfile format",
            "not recognized as a .* bundle",
        ),
    ),
)


def complaint_of(stderr: str) -> Complaint:
    """The kind of failure; unknown ones count as a remote that does not answer properly."""
    # "remote:" lines are free text of the server.
    lines = [line[:MAX_LINE] for line in stderr.splitlines() if not line.startswith("remote:")]
    said = "\n".join(lines[-MAX_LINES:])
    for kind, patterns in _WORDS:
        if re.search("|".join(patterns), said, re.IGNORECASE):
            return kind
    return Complaint.UNREACHABLE


def failure(stderr: str, address: RepositoryUrl) -> DeliveryError:
    """The error to raise for a failed command, except for a missing ref."""
    where = address.text
    match complaint_of(stderr):
        case Complaint.DISK_FULL:
            return disk_full()
        case Complaint.HOST_KEY:
            message = (
                f"{address.host} does not show an ssh host key that is known; add the secret ssh_known_hosts to the "
                "project, or have the operator add it to DELIVERY_SSH_KNOWN_HOSTS, after comparing its fingerprint"
            )
            return TerminalError(message, code=ErrorCode.SOURCE_FORBIDDEN, details={"url": where})
        case Complaint.FORBIDDEN:
            message = f"git may not use this transport for {where}"
            return TerminalError(message, code=ErrorCode.SOURCE_FORBIDDEN, details={"url": where})
        case Complaint.DUMB:
            message = f"{where} is served as plain files, without git's smart protocol; ask for a server that has it"
        case Complaint.REDIRECT:
            message = f"{where} answers with a redirect, which is not followed; use the repository's final address"
        case Complaint.DENIED:
            message = (
                f"{where} does not exist, or is private and the engine has no access to it; a secret of the project "
                "opens it: git_https_token or git_ssh_key"
            )
        case Complaint.NOT_FOUND | Complaint.REF_MISSING:
            message = f"there is no git repository at {where}; check the address and that the engine may read it"
        case Complaint.UNREACHABLE:
            said = last_words(stderr)
            return DependencyError(f"{where} does not answer as it should: {said}", details={"url": where})
    return TerminalError(message, code=ErrorCode.SOURCE_NOT_FOUND, details={"url": where})


def disk_full() -> TerminalError:
    """The error for a full disk."""
    return TerminalError(
        "the disk of the build machine is full; free space in the engine's data folder", code=ErrorCode.DISK_FULL
    )


def last_words(stderr: str) -> str:
    """The end of git's output, printable and bounded."""
    said = " ".join(stderr.split())[-SHOWN_STDERR:]
    return "".join(c if c.isprintable() else "?" for c in said) or "git said nothing"
