"""What a production process refuses to start with: secrets of the embedded mode, open lines, open doors.

Each check below looks at one thing, and says of each fault which setting it is and what to do; `docs/production.md` has
them in a table. All are reported at once.
"""

import re
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from domain.errors import DeliveryError, DependencyError
from runtime.encryption import encryption_key_file
from runtime.ids import now
from runtime.key_text import parse_keys
from runtime.keys import load_private_key
from runtime.otlp import otlp_faults
from runtime.settings import Mode, Settings
from runtime.temporal_access import access_fault

Check = Callable[[Settings], Iterator[str]]

MIN_PASSWORD: Final = 12
LONGEST_PLAIN: Final = timedelta(days=90)
# A random key of 32 bytes has some 30 different ones; fewer than 16 happen once in 10^12 keys.
MIN_DISTINCT: Final = 16
TLS_MODES: Final = frozenset({"require", "verify-ca", "verify-full"})
_HERE: Final = re.compile(r"(^|\.)localhost$|^127\.|^\[?::1\]?$|^0\.0\.0\.0$|^$")
_DOORS: Final = {
    "trusted_code": "would run other people's code without isolation",
    "allow_file_sources": "would let repositories be folders of this machine",
    "allow_private_sources": "would let repositories reach all private addresses; name networks in "
    "DELIVERY_EGRESS_NETWORKS instead",
}


def report(found: Sequence[str]) -> str:
    """The faults, for the terminal."""
    lines = "".join(f"  {fault}\n" for fault in found)
    return f"refusing to start ({len(found)} to mend; docs/production.md explains each):\n{lines}"


def _issuer(settings: Settings) -> Iterator[str]:
    if not _is_public(settings.jwt_issuer):
        yield "DELIVERY_JWT_ISSUER: is the one of development; set it to the https address clients use"


def _public_url(settings: Settings) -> Iterator[str]:
    if not _is_public(settings.public_url):
        yield "DELIVERY_PUBLIC_URL: set it to the https address clients use; credentials must not travel in the clear"


def _signing_key(settings: Settings) -> Iterator[str]:
    file = settings.jwt_private_key_file
    if file is None:
        yield "DELIVERY_JWT_PRIVATE_KEY_FILE: set it; the data folder's key is for the embedded mode"
        return
    try:
        load_private_key(settings)
    except DependencyError as error:
        yield f"DELIVERY_JWT_PRIVATE_KEY_FILE: {error.message}"
    else:
        yield from _exposed("DELIVERY_JWT_PRIVATE_KEY_FILE", file)


def _database(settings: Settings) -> Iterator[str]:
    try:
        url = make_url(settings.database_url.get_secret_value())
    except ArgumentError:
        yield "DELIVERY_DATABASE_URL: set it: postgresql+psycopg://user:password@host/database?sslmode=verify-full"
        return
    host = str(url.query.get("host") or url.host or "")
    if host.startswith("/"):
        return  # a unix socket: it goes over no line, and the server may ask the kernel who it is
    if _is_weak(url, settings):
        yield (
            "DELIVERY_DATABASE_URL: the password is missing, too simple or the embedded stack's; give the role one "
            f"of its own with {MIN_PASSWORD} characters or more (`openssl rand -hex 24`)"
        )
    if url.query.get("sslmode") not in TLS_MODES and not settings.allow_plain_database:
        yield (
            "DELIVERY_DATABASE_URL: add ?sslmode=verify-full (and sslrootcert=), or say with "
            "DELIVERY_ALLOW_PLAIN_DATABASE=true that nobody listens on that line"
        )


def _sealing_keys(settings: Settings) -> Iterator[str]:
    given = settings.encryption_keys.get_secret_value()
    if not given.strip():
        yield "DELIVERY_ENCRYPTION_KEYS: set it (`openssl rand -base64 32`); without it stored secrets have no key"
        return
    yield from _bad_keys("DELIVERY_ENCRYPTION_KEYS", given)
    file = encryption_key_file(settings)
    if _words(given) & _words(_text(file)):
        yield f"DELIVERY_ENCRYPTION_KEYS: holds a key of the embedded mode ({file}); make one of its own"


def _codec_keys(settings: Settings) -> Iterator[str]:
    given = settings.temporal_codec_keys.get_secret_value()
    if not given.strip():
        if not settings.allow_plain_payloads:
            yield (
                "DELIVERY_TEMPORAL_CODEC_KEYS: set it (`openssl rand -base64 32`), or say with "
                "DELIVERY_ALLOW_PLAIN_PAYLOADS=true that whoever runs Temporal may read workflow histories"
            )
        return
    yield from _bad_keys("DELIVERY_TEMPORAL_CODEC_KEYS", given)
    until = settings.temporal_plain_payloads_until
    if until is not None and until > now() + LONGEST_PLAIN:
        yield (
            f"DELIVERY_TEMPORAL_PLAIN_PAYLOADS_UNTIL: is more than {LONGEST_PLAIN.days} days away; by then the "
            "workflows from before the keys are over"
        )
    if _words(given) & _words(settings.encryption_keys.get_secret_value()):
        yield "DELIVERY_TEMPORAL_CODEC_KEYS: shares a key with DELIVERY_ENCRYPTION_KEYS; make one of its own"


def _temporal(settings: Settings) -> Iterator[str]:
    if fault := access_fault(settings):
        yield fault
    if settings.temporal_tls_key_file is not None:
        yield from _exposed("DELIVERY_TEMPORAL_TLS_KEY_FILE", settings.temporal_tls_key_file)


def _codec_origins(settings: Settings) -> Iterator[str]:
    origins = settings.temporal_codec_origins.replace(",", " ").split()
    if any(not _is_public(origin) for origin in origins):
        yield "DELIVERY_TEMPORAL_CODEC_ORIGINS: name https origins only; histories are shown in the clear there"


def _doors(settings: Settings) -> Iterator[str]:
    for name, what in _DOORS.items():
        if settings.effective(getattr(settings, name)):
            yield f"DELIVERY_{name.upper()}: {what}; leave it out"


# Of every role: those that build open the secrets that sources need.
WORKER: Final[Sequence[Check]] = (_database, _sealing_keys, _codec_keys, _temporal, otlp_faults, _doors)
API: Final[Sequence[Check]] = (_public_url, _issuer, _signing_key, *WORKER, _codec_origins)


def faults(settings: Settings, checks: Sequence[Check]) -> list[str]:
    """Everything that is wrong, a line each; in the embedded mode only what is outside of it: Temporal, a collector.

    Args:
        settings: of this process.
        checks: what this process has to do with: `API` or `WORKER`.
    """
    if settings.mode is not Mode.PRODUCTION:
        checks = (_temporal, otlp_faults)
    return [fault for check in checks for fault in check(settings)]


def _is_public(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and not _HERE.search(parts.hostname or "")


def _is_weak(url: URL, settings: Settings) -> bool:
    password = url.password or ""
    if "passfile" in url.query or url.query.get("sslcert"):
        return False
    folder = settings.data_dir / "secrets"
    embedded = {_text(file).strip() for file in folder.glob("*.password")} if folder.is_dir() else set()
    return len(password) < MIN_PASSWORD or password in embedded or len(set(password)) < MIN_PASSWORD // 2


def _bad_keys(setting: str, given: str) -> Iterator[str]:
    try:
        keys = parse_keys(given, setting)
    except DeliveryError as error:
        yield error.message
        return
    if any(len(set(key)) < MIN_DISTINCT for key in keys):
        yield f"{setting}: holds a key that nobody drew at random; make one with `openssl rand -base64 32`"


def _exposed(setting: str, file: Path) -> Iterator[str]:
    """A group may read it: that is how Kubernetes hands secrets to a process that is not root."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        yield f"{setting}: {file} cannot be read ({error.strerror})"
        return
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        yield f"{setting}: {file} has mode {mode:04o}; others must not read it: chmod 0600"


def _words(text: str) -> set[str]:
    return set(text.replace(",", " ").split())


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
