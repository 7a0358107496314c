"""Secrets of projects: their kinds, their names, how large they may be.

Values never come here but to be checked; no message repeats one.
"""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

NAME = r"^[A-Z_][A-Z0-9_]{0,127}$"
MAX_NAME = 128
MAX_VALUE = 64 * 1024  # bytes in UTF-8; Linux passes on at most 128 KiB as one variable
MAX_SECRETS = 200  # of a project
MAX_TOTAL = 1024 * 1024  # bytes of all service variables of a project; Linux starts nothing with more than about 2 MiB

SecretName = Annotated[str, Field(pattern=NAME, max_length=MAX_NAME)]


class SecretKind(StrEnum):
    """What a secret is for, and so who gets to see it."""

    SERVICE_ENV = "service_env"
    GIT_HTTPS_TOKEN = "git_https_token"  # noqa: S105 - the name of a kind
    GIT_SSH_KEY = "git_ssh_key"
    SSH_KNOWN_HOSTS = "ssh_known_hosts"
    REGISTRY = "registry"


# A project has one repository, so it has one credential of each kind for it.
ONE_OF_A_KIND = frozenset({SecretKind.GIT_HTTPS_TOKEN, SecretKind.GIT_SSH_KEY, SecretKind.SSH_KNOWN_HOSTS})
# Kinds that may differ from environment to environment.
BY_ENVIRONMENT = frozenset({SecretKind.SERVICE_ENV, SecretKind.REGISTRY})

# Set by the engine or the shell that starts a service, or read by the loader before a service's own code runs.
_RESERVED = frozenset(
    {"PORT", "PATH", "HOME", "TMPDIR", "LANG", "PWD", "SHELL", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS"}
)
_RESERVED_BEGINNINGS = ("DELIVERY_", "LD_")
# What the C library reads of the environment of any program before that begins: it takes code and files from there.
# Those that it ignores for programs with more rights than their caller (unsecvars.h); TMPDIR is ours already.
_EARLY = frozenset(
    {
        *("GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NIS_PATH", "NLSPATH"),
        *("RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR"),
    }
)
_EARLY_BEGINNINGS = ("LD_", "GLIBC_", "MALLOC_")
_TOKEN = re.compile(r"[!-~]+")


def is_reserved(name: str) -> bool:
    """Whether a service's variable of that name is not the project's to set."""
    return name in _RESERVED or name.startswith(_RESERVED_BEGINNINGS)


def is_read_early(name: str) -> bool:
    """Whether a variable of that name acts on a program before its own code runs, so on a sandbox outside of itself."""
    return name in _EARLY or name.startswith(_EARLY_BEGINNINGS)


def check_value(kind: SecretKind, value: str) -> None:
    """Whether a value can be used for what it is for.

    Raises:
        ValueError: it cannot; the message says why without repeating any of it.
    """
    if not value:
        raise ValueError("must not be empty")
    if "\x00" in value:
        raise ValueError("must not contain NUL characters")
    if len(value.encode("utf-8", errors="surrogatepass")) > MAX_VALUE:
        raise ValueError(f"must be at most {MAX_VALUE} bytes in UTF-8")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must be valid UTF-8")
    if kind is SecretKind.GIT_HTTPS_TOKEN and not _TOKEN.fullmatch(value):
        raise ValueError("must be a token, or user:token, in one line of printable ASCII without spaces")


def split_token(value: str) -> tuple[str, str]:
    """User name and password of a git token: `user:token`, or a token alone, where hosts accept any user name."""
    user, colon, password = value.partition(":")
    return (user, password) if colon else ("x-access-token", value)
