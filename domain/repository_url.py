"""Checks git repository URLs, branch names and commit ids before git sees them.

Nothing accepted here can be read as an option, a helper command (`ext::`) or a pattern, or carries a credential.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from domain.errors import ErrorCode, TerminalError

MAX_URL = 2048
MAX_REF = 255
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_SCP = re.compile(r"(?:(?P<user>[^@:/\s]+)@)?(?P<host>[^@:/\s]+):(?P<path>[^:].*)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})(?:://|::)")
# Six digits suffice because the contract shows such an id; fewer are soon ambiguous.
_COMMIT = re.compile(r"[0-9a-f]{6,64}")
# git-check-ref-format(1), rules 1 to 10, except those checked in code below.
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Scheme(StrEnum):
    """Transports that git may use."""

    HTTPS = "https"
    SSH = "ssh"
    HTTP = "http"
    FILE = "file"


_KNOWN = frozenset(str(scheme) for scheme in Scheme)


@dataclass(frozen=True)
class RepositoryUrl:
    """A checked URL.

    Attributes:
        text: for git: a URL, an scp-like address or an absolute path. Without credentials.
        host: name or address to check before connecting; None for files.
        port: None: the scheme's default.
    """

    scheme: Scheme
    text: str
    host: str | None = None
    port: int | None = None

    @property
    def authority(self) -> str:
        """Host and port as git names them to credential helpers; empty for files."""
        host = (self.host or "").lower()
        host = f"[{host}]" if ":" in host else host
        return host if self.port is None else f"{host}:{self.port}"


def parse_repository_url(url: str, *, allow_file: bool = False, allow_private: bool = False) -> RepositoryUrl:
    """Check a repository URL.

    Args:
        url: the caller's input.
        allow_file: whether local folders (`file:///...` or an absolute path) are accepted.
        allow_private: whether plain http is accepted; the driver then checks that the host is private.

    Raises:
        TerminalError: SOURCE_FORBIDDEN; the message says what is allowed and never repeats a credential.
    """
    allowed = [Scheme.HTTPS, Scheme.SSH] + [Scheme.HTTP] * allow_private + [Scheme.FILE] * allow_file
    if not url or len(url) > MAX_URL or _CONTROL.search(url) or url.strip() != url or url.startswith("-"):
        _refuse(
            f"the repository address is empty, longer than {MAX_URL} characters, begins with '-' or "
            "has spaces or control characters around it"
        )
    named = _SCHEME.match(url)
    if named is None:
        parsed = _parse_without_scheme(url, allowed)
    elif url.startswith(f"{named[1]}://") and named[1].lower() in _KNOWN:
        parsed = _parse_with_scheme(url, Scheme(named[1].lower()))
    else:
        _refuse_scheme(named[1].lower(), allowed)
    if parsed.scheme not in allowed:
        _refuse_scheme(parsed.scheme, allowed)
    return parsed


def _parse_without_scheme(url: str, allowed: list[Scheme]) -> RepositoryUrl:
    if url.startswith("/"):
        return RepositoryUrl(Scheme.FILE, url)
    scp = _SCP.fullmatch(url)
    if scp is None:
        _refuse(f"the repository address is not a URL; allowed are {_names(allowed)}")
    if scp["path"].startswith("-") or "@" in scp["path"]:  # git reads user:password@host:path as host:path
        _refuse("the repository address has a '-' or a credential where its path begins; remove it")
    _check_host(scp["host"])
    _check_user(scp["user"])
    return RepositoryUrl(Scheme.SSH, url, host=scp["host"])


def _parse_with_scheme(url: str, scheme: Scheme) -> RepositoryUrl:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse("the repository address is not a well-formed URL; look at its host and port")
    if scheme is Scheme.FILE:
        return _parse_file(parts)
    if parts.password is not None or (parts.username is not None and scheme is not Scheme.SSH):
        _refuse(
            "the repository address carries a user name, password or token; "
            "remove everything between '//' and '@': credentials do not belong into addresses"
        )
    if parts.query or parts.fragment:
        _refuse("the repository address has a '?' or '#' part; give the plain address of the repository")
    if parts.hostname is None or parts.path in {"", "/"}:
        _refuse("the repository address names no host or no repository on it")
    if ":" not in parts.hostname:  # urlsplit has checked IPv6 literals
        _check_host(parts.hostname)
    _check_user(parts.username)
    # Git accepts transports in lower case only.
    return RepositoryUrl(scheme, f"{scheme}{url[len(scheme) :]}", host=parts.hostname, port=port)


def _parse_file(parts: SplitResult) -> RepositoryUrl:
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path.startswith("/") or _CONTROL.search(path):
        _refuse("a file address is written file:///absolute/path")
    return RepositoryUrl(Scheme.FILE, path)


def _check_host(host: str) -> None:
    if not _HOST.fullmatch(host):
        _refuse("the host of the repository address has characters that no host name has")


def _check_user(user: str | None) -> None:
    if user is not None and not _USER.fullmatch(user):
        _refuse("the user name of the repository address has characters that are not accepted")


def check_branch(branch: str) -> str:
    """The name of a branch or tag, if git would accept it.

    A short name is a branch, else a tag; `refs/heads/` and `refs/tags/` are exact.

    Raises:
        TerminalError: SOURCE_REF_NOT_FOUND, since no repository can have such a branch.
    """
    short = branch.removeprefix("refs/heads/").removeprefix("refs/tags/")
    faulty = not short or len(short) > MAX_REF or short.startswith(("-", "/", ".")) or short == "@"
    if faulty or short.endswith(("/", ".")) or _REF_FORBIDDEN.search(short):
        raise TerminalError(
            f"{_shown(branch)} is not a name that a branch or tag can have; look at `git_branch`",
            code=ErrorCode.SOURCE_REF_NOT_FOUND,
            details={"ref": _shown(branch)},
        )
    return branch


def check_commit(commit: str) -> str:
    """A full or abbreviated commit id in lower case.

    Raises:
        TerminalError: SOURCE_REF_NOT_FOUND when it is not 6 to 64 hexadecimal digits.
    """
    if not _COMMIT.fullmatch(commit.lower()):
        raise TerminalError(
            f"{_shown(commit)} is not a commit id: give 6 to 64 hexadecimal digits",
            code=ErrorCode.SOURCE_REF_NOT_FOUND,
            details={"ref": _shown(commit)},
        )
    return commit.lower()


def _shown(text: str) -> str:
    return ascii(text[:100])


def _names(allowed: list[Scheme]) -> str:
    return ", ".join(f"{scheme}://" for scheme in allowed)


def _refuse_scheme(scheme: str, allowed: list[Scheme]) -> NoReturn:
    _refuse(
        f"repositories may not be fetched over '{scheme}' here; allowed are {_names(allowed)}",
        allowed=[str(scheme) for scheme in allowed],
    )


def _refuse(message: str, **details: object) -> NoReturn:
    raise TerminalError(message, code=ErrorCode.SOURCE_FORBIDDEN, details=details)
