"""Secrets of projects: kinds, names, size limits.

Values come here only for validation; no message repeats one.
"""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

NAME = r"^[A-Z_][A-Z0-9_]{0,127}$"
MAX_NAME = 128
MAX_VALUE = 64 * 1024  # bytes in UTF-8; Linux limits one variable to 128 KiB
MAX_SECRETS = 200  # per project
MAX_TOTAL = 1024 * 1024  # bytes of all service variables of a project; Linux's limit for a process is about 2 MiB

SecretName = Annotated[str, Field(pattern=NAME, max_length=MAX_NAME)]


class SecretKind(StrEnum):
    """The purpose of a secret, which decides who can read it."""

    SERVICE_ENV = "service_env"
    GIT_HTTPS_TOKEN = "git_https_token"  # noqa: S105 - the name of a kind
    GIT_SSH_KEY = "git_ssh_key"
    SSH_KNOWN_HOSTS = "ssh_known_hosts"
    REGISTRY = "registry"


# A project has one repository, so at most one credential of each kind.
ONE_OF_A_KIND = frozenset({SecretKind.GIT_HTTPS_TOKEN, SecretKind.GIT_SSH_KEY, SecretKind.SSH_KNOWN_HOSTS})
# Kinds that may differ between environments.
BY_ENVIRONMENT = frozenset({SecretKind.SERVICE_ENV, SecretKind.REGISTRY})

# Set by the engine or the shell that starts a service, or read by the loader before a service's own code runs.
_RESERVED = frozenset(
    {"PORT", "PATH", "HOME", "TMPDIR", "LANG", "PWD", "SHELL", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS"}
)
_RESERVED_BEGINNINGS = ("DELIVERY_", "LD_")
# Variables that the C library reads at the start of any program, and that can load code or files: those it ignores for
# programs with more rights than their caller (unsecvars.h). TMPDIR is always set by us.
_EARLY = frozenset(
    {
        *("GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NIS_PATH", "NLSPATH"),
        *("RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR"),
    }
)
_EARLY_BEGINNINGS = ("LD_", "GLIBC_", "MALLOC_")
_TOKEN = re.compile(r"[!-~]+")


def is_reserved(name: str) -> bool:
    """Whether a project may not set a service variable with that name."""
    return name in _RESERVED or name.startswith(_RESERVED_BEGINNINGS)


def is_read_early(name: str) -> bool:
    """Whether such a variable affects a program before its own code runs, and so also the sandbox program."""
    return name in _EARLY or name.startswith(_EARLY_BEGINNINGS)


def check_value(kind: SecretKind, value: str) -> None:
    """Check that a value suits its kind.

    Raises:
        ValueError: it does not; the message says why without repeating any part of it.
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
    """User name and password of a git token: `user:token`, or a token alone, for hosts that accept any user name."""
    user, colon, password = value.partition(":")
    return (user, password) if colon else ("x-access-token", value)
