"""The secrets of profiles: in the system's keyring where there is one, else in a file of mode 0600.

`DELIVERY_KEYRING=off` takes the file in any case.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from delivery_cli.config.folders import config_folder, only_one, read_private, write_private
from delivery_cli.faults import UsageFault

FILE: Final = "credentials.json"
SERVICE: Final = "delivery-cli"
IN_KEYRING: Final = {"keyring": True}


@dataclass(frozen=True, repr=False)
class Credentials:
    """An API key, or a login: an access token until `expires_at` (Unix seconds) and what renews it. Never printed."""

    api_key: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_at: float = 0.0

    def __repr__(self) -> str:
        kind = "an API key" if self.api_key else "a login" if self.access_token else "nothing"
        return f"<Credentials: {kind}>"

    def __bool__(self) -> bool:
        return bool(self.api_key or self.access_token or self.refresh_token)


def read(profile: str) -> Credentials:
    """Those of a profile; none are false."""
    stored = _file().get(profile)
    if stored is None:
        return Credentials()
    if stored == IN_KEYRING:
        ring = _keyring()
        text = ring.get_password(SERVICE, profile) if ring else None
        if text is None:
            raise UsageFault(
                f"the login of profile {profile!r} is in the system's keyring, which is not there or locked",
                "unlock it, or log in again: `delivery login`",
            )
        stored = json.loads(text)
    return Credentials(**{key: stored[key] for key in asdict(Credentials()) if key in stored})


def write(profile: str, credentials: Credentials) -> str:
    """Keep them; returns where: `the system's keyring` or the file's path."""
    content = {key: value for key, value in asdict(credentials).items() if value}
    ring = _keyring()
    with only_one(FILE):
        return _written(profile, content, ring)


def _written(profile: str, content: dict[str, Any], ring: Any) -> str:
    if ring and _kept(ring, profile, json.dumps(content)):
        _save({**_file(), profile: IN_KEYRING})
        return "the system's keyring"
    _save({**_file(), profile: content})
    return str(config_folder() / FILE)


def forget(profile: str) -> None:
    """Remove them from both places."""
    with only_one(FILE):
        content = _file()
        if content.pop(profile, None) == IN_KEYRING and (ring := _keyring()):
            with suppress(Exception):  # each backend has errors of its own; the entry is useless anyway
                ring.delete_password(SERVICE, profile)
        _save(content)


def _kept(ring: Any, profile: str, text: str) -> bool:
    try:
        ring.set_password(SERVICE, profile, text)
        return bool(ring.get_password(SERVICE, profile) == text)
    except Exception:  # noqa: BLE001 - each backend has errors of its own: then it is the file
        return False


def _keyring() -> Any:
    """The keyring, if its package is installed and has a place that deserves the name; else None."""
    if os.environ.get("DELIVERY_KEYRING", "").lower() in {"off", "0", "no"}:
        return None
    try:
        import keyring

        return keyring if keyring.get_keyring().priority >= 1 else None
    except Exception:  # noqa: BLE001 - not installed, no session bus, a broken backend: then it is the file
        return None


def _file() -> dict[str, Any]:
    path = config_folder() / FILE
    text = read_private(path)
    if not text.strip():
        return {}
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict) and all(isinstance(one, dict) for one in content.values()):
        return content
    raise UsageFault(f"{path} is damaged", "move it away and log in again: `delivery login`")


def _save(content: dict[str, Any]) -> None:
    write_private(config_folder() / FILE, json.dumps(content, indent=2) + "\n")
