"""The SDK's client with the caller's server and credentials."""

import os
from typing import TYPE_CHECKING, Any, Final

from delivery_cli import __version__
from delivery_cli.config import credentials
from delivery_cli.config.profiles import Profile
from delivery_cli.faults import UsageFault

if TYPE_CHECKING:
    from ai_agents import Client

SECONDS: Final = 60.0


def connect(profile: Profile) -> "Client":
    """A client for the profile's server.

    Raises:
        UsageFault: there is no server or no login.
    """
    if not profile.url:
        raise UsageFault("which server?", "`delivery login https://delivery.example.com`, or set DELIVERY_URL")
    return client_of(profile, identity(profile))


def client_of(profile: Profile, who: dict[str, Any]) -> "Client":
    """A client for the profile's server, with the SDK's `api_key` or `token`."""
    from ai_agents import Client

    headers = {"User-Agent": f"delivery-cli/{__version__}"}
    return Client(base_url=profile.url, timeout=SECONDS, default_headers=headers, **who)


def identity(profile: Profile) -> dict[str, Any]:
    """The SDK's `api_key` or `token`: those of the environment, else the profile's own."""
    key, token = os.environ.get("DELIVERY_API_KEY", ""), os.environ.get("DELIVERY_TOKEN", "")
    if key and token:
        raise UsageFault("both DELIVERY_API_KEY and DELIVERY_TOKEN are set", "unset one of them")
    if key or token:
        name = "DELIVERY_API_KEY" if key else "DELIVERY_TOKEN"
        return {"api_key" if key else "token": sendable(key or token, name)}
    kept = credentials.read(profile.name)
    if not kept:
        raise UsageFault(
            f"you are not logged in to {profile.url}",
            f"`delivery login {profile.url}`, or set DELIVERY_API_KEY",
            facts={"code": "NOT_LOGGED_IN"},
        )
    if os.environ.get("DELIVERY_URL") and _of_another_server(profile):
        raise UsageFault(
            f"the login of profile {profile.name!r} belongs to another server than DELIVERY_URL",
            "set DELIVERY_API_KEY or DELIVERY_TOKEN too, or take the profile of that server",
        )
    if kept.api_key:
        return {"api_key": kept.api_key}
    from delivery_cli.login.tokens import Renewed

    return {"token": Renewed(profile)}


def sendable(secret: str, name: str) -> str:
    """A key or token without what surrounds it; raises `UsageFault` for what cannot stand in a header."""
    bare = secret.strip()
    if not bare or not bare.isascii() or any(sign.isspace() or not sign.isprintable() for sign in bare):
        raise UsageFault(
            f"{name} is no key and no token", "it is one word of letters and digits; was more pasted along?"
        )
    return bare


def _of_another_server(profile: Profile) -> bool:
    """A key is sent to the server that it was given for, and to no other."""
    from delivery_cli.config.profiles import stored

    return stored(profile.name).url != profile.url
