"""Validation of a secret before it is encrypted: its format, and the hosts it may be sent to."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from api.http.errors import InvalidRequestError
from domain.errors import DeliveryError
from domain.repository_url import Scheme, parse_repository_url
from domain.secrets import SecretKind, check_value
from runtime.encryption import Sealer
from storage.models import Project, Secret
from storage.sealed import secret_context

_SSH_FORMAT = "-----BEGIN OPENSSH PRIVATE KEY-----"


def sealed(sealer: Sealer, secret: Secret, value: str) -> bytes:
    """The value, for this row alone."""
    return sealer.seal(value.encode(), secret_context(secret.id))


def check_secret(kind: SecretKind, value: str) -> None:
    """Said now, by field, rather than minutes later by a failed fetch.

    Raises:
        InvalidRequestError: the value is no key, token or list of host keys, as its kind asks for.
    """
    try:
        check_value(kind, value)
        if kind is SecretKind.GIT_SSH_KEY:
            _check_private_key(value.encode())
        elif kind is SecretKind.SSH_KNOWN_HOSTS:
            _check_known_hosts(value)
    except ValueError as error:
        raise InvalidRequestError("value", str(error), code="secret_invalid") from None


def token_host(kind: SecretKind, project: Project) -> str | None:
    """The host a git token is bound to: that of the repository now, so that a later address does not get it.

    Raises:
        InvalidRequestError: the repository is not reached over https.
    """
    if kind is not SecretKind.GIT_HTTPS_TOKEN:
        return None
    try:
        address = parse_repository_url(project.repository_url, allow_file=True, allow_private=True)
    except DeliveryError as error:
        raise InvalidRequestError("kind", error.message, code="secret_invalid") from error
    if address.scheme not in (Scheme.HTTPS, Scheme.HTTP):
        message = f"the project's repository is reached over {address.scheme}, where no token is asked for"
        raise InvalidRequestError("kind", message, code="secret_invalid")
    return address.authority


def _check_private_key(key: bytes) -> None:
    load = load_ssh_private_key if key.lstrip().startswith(_SSH_FORMAT.encode()) else load_pem_private_key
    try:
        load(key, password=None)
    except TypeError:
        raise ValueError("is protected by a passphrase; give a key without one, made for this project") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a private key in OpenSSH's or PEM format") from None


def _check_known_hosts(text: str) -> None:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ValueError("has no line like: git.example.com ssh-ed25519 AAAA...")
    for number, line in enumerate(lines, start=1):
        # What begins with @ (authorities, revoked keys) has no key in the second place, and is refused with the rest.
        try:
            load_ssh_public_key(" ".join(line.split()[1:3]).encode())
        except (ValueError, UnsupportedAlgorithm):
            message = f"entry {number} is not: host names, type of key, key, as `ssh-keyscan` prints them"
            raise ValueError(message) from None
