"""Profiles: a server, and perhaps an organization, under a name. They hold no secrets."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from delivery_cli.config.folders import config_folder, only_one, read_private, write_private
from delivery_cli.faults import UsageFault

DEFAULT: Final = "default"
FILE: Final = "profiles.json"


@dataclass(frozen=True)
class Profile:
    """Where a login belongs to.

    Attributes:
        organization: id of the one to use where the caller has several.
        client_id: of the OAuth application that the login was made with; empty for an API key.
    """

    name: str = DEFAULT
    url: str = ""
    organization: str = ""
    client_id: str = ""


def load(name: str = "") -> Profile:
    """The named profile, that of `DELIVERY_PROFILE`, or `default`; `DELIVERY_URL` goes before what it says.

    Raises:
        UsageFault: it was asked for by name, and there is none; or the file is damaged.
    """
    wanted = name or os.environ.get("DELIVERY_PROFILE", "")
    known = _read()
    if wanted and wanted not in known and not os.environ.get("DELIVERY_URL"):
        there = ", ".join(sorted(known)) or "none yet"
        raise UsageFault(
            f"there is no profile {wanted!r}", f"there are: {there}. `delivery login URL --profile {wanted}`"
        )
    found = known.get(wanted or DEFAULT, Profile(wanted or DEFAULT))
    named = os.environ.get("DELIVERY_URL")
    url = checked_url(named) if named else found.url
    # An organization of another server is none of this one's.
    return found if url == found.url else Profile(found.name, url, client_id=found.client_id)


def save(profile: Profile) -> None:
    """Add it, or replace the one of its name."""
    with only_one(FILE):
        _write({**_read(), profile.name: profile})


def forget(name: str) -> None:
    """Remove it, if it is there."""
    with only_one(FILE):
        _write({key: profile for key, profile in _read().items() if key != name})


def names() -> list[str]:
    """Of all profiles."""
    return sorted(_read())


def checked_url(text: str) -> str:
    """The server's address without a slash or `/v1` at its end; raises `UsageFault` for what is none."""
    url = text.strip().rstrip("/").removesuffix("/v1")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or any(sign.isspace() for sign in url):
        raise UsageFault(f"{text!r} is not the address of a server", "give it as https://delivery.example.com")
    if parts.username or parts.password:
        raise UsageFault("the address of the server holds a user or a password", "leave them out; see `delivery login`")
    return url


def _read() -> dict[str, Profile]:
    path = config_folder() / FILE
    text = read_private(path)
    if not text.strip():
        return {}
    try:
        content: dict[str, Any] = json.loads(text)
        return {
            name: Profile(name, **{key: str(fields.get(key, "")) for key in _FIELDS})
            for name, fields in content.items()
        }
    except (ValueError, AttributeError) as error:
        raise UsageFault(f"{path} is damaged: {error}", "mend it, or move it away and log in again") from error


_FIELDS: Final = ("url", "organization", "client_id")


def _write(profiles: dict[str, Profile]) -> None:
    content = {
        name: {key: value for key, value in asdict(one).items() if key in _FIELDS and value}
        for name, one in profiles.items()
    }
    write_private(config_folder() / FILE, json.dumps(content, indent=2) + "\n")


def stored(name: str) -> Profile:
    """As it was saved, whatever the environment says."""
    return _read().get(name, Profile(name))
