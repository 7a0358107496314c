"""How we show Temporal who we are: a client certificate (mTLS) or an API key, and whom we believe."""

from ipaddress import ip_address
from pathlib import Path

from temporalio.service import TLSConfig

from domain.errors import DependencyError
from runtime.settings import Mode, Settings

Stamp = tuple[tuple[int, int, int], ...]


def is_protected(settings: Settings) -> bool:
    """Whether the connection is encrypted."""
    return bool(
        settings.temporal_tls
        or settings.temporal_tls_ca_file
        or settings.temporal_tls_cert_file
        or settings.temporal_tls_key_file
        or settings.temporal_api_key.get_secret_value()
    )


def shows_credentials(settings: Settings) -> bool:
    """Whether Temporal can tell us from others; that the line is encrypted does not tell it who we are."""
    return bool(settings.temporal_tls_cert_file or settings.temporal_api_key.get_secret_value())


def is_here(settings: Settings) -> bool:
    """Whether it is the embedded stack's, which listens on loopback only."""
    host = settings.temporal_address.rpartition(":")[0].strip("[]")
    try:
        return settings.mode is Mode.EMBEDDED and ip_address(host).is_loopback
    except ValueError:
        return settings.mode is Mode.EMBEDDED and host == "localhost"


def access_fault(settings: Settings) -> str | None:
    """What is missing or half configured, and what to do; None: nothing is."""
    if settings.temporal_tls_cert_file and not settings.temporal_tls_key_file:
        return "DELIVERY_TEMPORAL_TLS_CERT_FILE is set without DELIVERY_TEMPORAL_TLS_KEY_FILE; name its private key"
    if settings.temporal_tls_key_file and not settings.temporal_tls_cert_file:
        return "DELIVERY_TEMPORAL_TLS_KEY_FILE is set without DELIVERY_TEMPORAL_TLS_CERT_FILE; name its certificate"
    if settings.temporal_tls_cert_file and settings.temporal_api_key.get_secret_value():
        return "DELIVERY_TEMPORAL_API_KEY and DELIVERY_TEMPORAL_TLS_CERT_FILE are both set; Temporal takes one of them"
    if settings.temporal_tls_server_name and not is_protected(settings):
        return "DELIVERY_TEMPORAL_TLS_SERVER_NAME is set without TLS; set DELIVERY_TEMPORAL_TLS=true or name the files"
    if not shows_credentials(settings) and not is_here(settings):
        return (
            "DELIVERY_TEMPORAL_TLS_CERT_FILE: set it and DELIVERY_TEMPORAL_TLS_KEY_FILE (mTLS), or "
            "DELIVERY_TEMPORAL_API_KEY: a Temporal that lets anybody in starts and steers workflows for anybody. Only "
            "the embedded stack's own, on loopback, goes without, and no setting allows another"
        )
    return None


def tls_of(settings: Settings) -> TLSConfig | bool:
    """The TLS configuration, its files read now; False: plain.

    Raises:
        DependencyError: something is missing or half configured, or a file cannot be read.
    """
    if fault := access_fault(settings):
        raise DependencyError(fault)
    if not is_protected(settings):
        return False
    return TLSConfig(
        server_root_ca_cert=_read(settings.temporal_tls_ca_file, "CA"),
        client_cert=_read(settings.temporal_tls_cert_file, "CERT"),
        client_private_key=_read(settings.temporal_tls_key_file, "KEY"),
        domain=settings.temporal_tls_server_name or None,
    )


def stamp_of(settings: Settings) -> Stamp:
    """Changes when one of the files is replaced; a file that is away for a moment changes nothing by itself."""
    files = (settings.temporal_tls_ca_file, settings.temporal_tls_cert_file, settings.temporal_tls_key_file)
    return tuple(_stamp(file) for file in files if file is not None)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        seen = file.stat()
    except OSError:
        return (0, 0, 0)
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns)


def _read(file: Path | None, part: str) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise DependencyError(
            f"{file} cannot be read ({error.strerror}); DELIVERY_TEMPORAL_TLS_{part}_FILE names it"
        ) from error
