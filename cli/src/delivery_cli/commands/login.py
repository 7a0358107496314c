"""`delivery login`: so that the other commands need not ask."""

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from delivery_cli.command import command
from delivery_cli.config import credentials, profiles
from delivery_cli.config.credentials import Credentials
from delivery_cli.config.profiles import Profile
from delivery_cli.faults import Fault, UsageFault
from delivery_cli.run import Run, plain

Json = dict[str, Any]
LARGEST: Final = 64 << 10


@command(
    "login",
    "delivery login https://delivery.example.com",
    "delivery login https://delivery.example.com --with-key < key.txt",
    "delivery login http://127.0.0.1:8080 --profile local --no-browser",
    "make -s token | delivery login http://127.0.0.1:8080 --with-key --create-org acme    # of a stack that is new",
)
def login(
    run: Run,
    url: Annotated[str | None, typer.Argument(help="The server. Else that of the profile, or DELIVERY_URL.")] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Read an API key, or an access token, from standard input.")
    ] = False,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="Read it from this file.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address of the login page.")] = False,
    create_org: Annotated[
        str, typer.Option("--create-org", metavar="SLUG", help="Use this organization; create it if there is none.")
    ] = "",
    client_id: Annotated[
        str, typer.Option("--client-id", help="Another OAuth application than the server's own.")
    ] = "",
) -> None:
    """Log in through the browser, or with an API key from standard input

    Opens the server's login page (OAuth, authorization code with PKCE); the browser comes back to this machine. Where
    there is no browser, an API key does as well. What is kept is in the system's keyring, or in a file of mode 0600.
    """
    profile = _profile(run, url)
    if with_key or key_file:
        kept, profile = _with_key(key_file), replace(profile, client_id="")
    else:
        kept, profile = _with_browser(profile, client_id, no_browser=no_browser)
    me, profile = _checked(run, profile, kept, create_org)
    profiles.save(profile)
    place = credentials.write(profile.name, kept)
    answer = {
        "profile": profile.name,
        "url": profile.url,
        "user": (me["user"] or {}).get("email") or me["subject"],
        "kept_in": place,
    }
    run.out.answer(answer, f"logged in to {profile.url} as {answer['user']}; kept in {place}")


@command("logout", "delivery logout", "delivery logout --profile local")
def logout(run: Run) -> None:
    """Forget the login, and revoke it

    An API key is forgotten, not revoked: others may use it. `delivery keys revoke` ends it.
    """
    from delivery_cli.login.tokens import revoke

    profile = profiles.stored(run.profile.name)
    kept = credentials.read(profile.name)
    ended = revoke(profile, kept) if kept.refresh_token and profile.url else False
    credentials.forget(profile.name)
    words = "and revoked" if ended else "" if not kept.refresh_token else "but the server could not be told"
    run.out.answer(
        {"profile": profile.name, "revoked": ended}, f"logged out of {profile.url or profile.name} {words}".rstrip()
    )


def _profile(run: Run, url: str | None) -> Profile:
    name = run.options.profile or profiles.DEFAULT
    known = profiles.stored(name)
    if url:
        wanted = profiles.checked_url(url)
        return known if wanted == known.url else Profile(name, wanted)
    address = run.profile.url if not run.options.profile or known.url else known.url
    if not address:
        raise UsageFault("which server?", "`delivery login https://delivery.example.com`")
    return known if address == known.url else Profile(name, address)


def _with_key(path: Path | None) -> Credentials:
    from delivery_cli.session import sendable

    text = read_secret(path, "the API key")
    bare = sendable(text, "what was given")
    return Credentials(api_key=bare) if not bare.startswith("eyJ") else Credentials(access_token=bare, expires_at=4e9)


def read_secret(path: Path | None, what: str) -> str:
    """A secret from a file, from a pipe, or typed without an echo; never from an argument."""
    if path is None and sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"{what} (not shown): ")
    try:
        if path is None:
            text = _given()
        else:
            with path.open(encoding="utf-8", newline="") as file:
                text = file.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageFault(f"cannot read {what} from {path or 'standard input'}: {reason}") from None
    if len(text) > LARGEST:
        raise UsageFault(f"{what} is longer than {LARGEST} characters", "was the wrong file given?")
    return text


def _given() -> str:
    """Standard input as it is: line ends are part of a value."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict", newline="")
    return sys.stdin.read(LARGEST + 1)


def _with_browser(profile: Profile, client_id: str, *, no_browser: bool) -> tuple[Credentials, Profile]:
    import webbrowser

    from delivery_cli.login.browser import CLIENT_ID, log_in
    from delivery_cli.login.endpoints import discover

    chosen = client_id or profile.client_id or CLIENT_ID
    show = (lambda _: False) if no_browser else webbrowser.open
    tokens = log_in(discover(profile.url), client_id=chosen, show=show)
    return tokens.kept, replace(profile, client_id=chosen)


def _checked(run: Run, profile: Profile, kept: Credentials, new: str) -> tuple[Json, Profile]:
    """Try it before it is kept; with one organization, or a named one, that is the profile's."""
    from delivery_cli.finding import organization
    from delivery_cli.session import client_of

    client = client_of(profile, {"api_key": kept.api_key} if kept.api_key else {"token": kept.access_token})
    with client:
        me = plain(client.users.me())
        if new:
            there = (plain(one) for one in client.organizations.list(search=new))  # the same command once more
            made = next((one for one in there if one["slug"] == new), None)
            name = new.replace("-", " ").title().ljust(2, "-")
            made = made or plain(client.organizations.create(name=name, slug=new))
            return me, replace(profile, organization=made["id"])
        try:
            found = organization(client, run.options.organization)
        except Fault:
            if run.options.organization:
                raise
            return me, profile
    return me, replace(profile, organization=found["id"])
