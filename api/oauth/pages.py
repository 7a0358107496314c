"""HTML pages for people: no scripts, no external resources, accessible."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final
from urllib.parse import urlsplit

from fastapi import Response

from api.oauth.token_subject import Holder
from domain.permissions import Scope, granted, in_words

STYLE: Final = """
:root{color-scheme:light dark;--line:#767676;--text:#1a1a1a;--back:#fff;--soft:#f4f5f7;--act:#0b5cad;--bad:#b00020}
@media (prefers-color-scheme:dark){:root{--line:#8c8c8c;--text:#ececec;--back:#17181a;--soft:#222427;--act:#8ab4f8;
--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;font:1rem/1.5 system-ui,sans-serif;color:var(--text);background:var(--soft)}
main{max-width:28rem;margin:8vh auto;padding:2rem;background:var(--back);border-radius:.5rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}
label{display:block;font-weight:600;margin-top:1rem}
input[type=email],input[type=text],input[type=password]{width:100%;font:inherit;padding:.5rem;margin-top:.25rem;color:inherit;
background:var(--back);border:1px solid var(--line);border-radius:.25rem}
fieldset{border:1px solid var(--line);border-radius:.25rem;margin:1rem 0;padding:.5rem 1rem}
fieldset label{font-weight:400;margin:.25rem 0}
legend{font-weight:600;padding:0 .25rem}
button{font:inherit;font-weight:600;padding:.5rem 1.25rem;margin:1.25rem .5rem 0 0;border:1px solid var(--act);
border-radius:.25rem;color:var(--act);background:var(--back);cursor:pointer}
button.main{color:var(--back);background:var(--act)}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
.error{border-left:4px solid var(--bad);padding:.5rem 1rem;margin:0 0 1rem;background:var(--soft)}
.error h2{font-size:1rem;margin:0}.error p{margin:0}.error a{color:inherit}
ul{padding-left:1.25rem}li{overflow-wrap:anywhere}.quiet{font-size:.875rem}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
Headers = Mapping[str, str]


def login_page(
    form_token: str,
    *,
    client: str,
    email: str = "",
    error: str = "",
    status: int = 200,
    headers: Headers | None = None,
) -> Response:
    """Asks for e-mail and password."""
    wrong = ' aria-invalid="true" aria-describedby="error-text"' if error else ""
    body = f"""<h1>Log in to continue to {escape(client)}</h1>
{_summary(error, "email")}<form method="post">
{_hidden(form_token)}<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="username" required maxlength="254"
 value="{escape(email)}"{wrong}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024"{wrong}>
<button class="main" name="action" value="login">Log in</button>
</form>"""
    return _page("Log in", body, error=bool(error), status=status, headers=headers)


def consent_page(
    form_token: str,
    *,
    client: str,
    redirect_uri: str,
    email: str,
    scopes: Sequence[Scope],
    places: Sequence[Holder],
    error: str = "",
) -> Response:
    """Asks whether an application may act for the user, and in which organization."""
    may = "".join(_item(scope) for scope in scopes if _possible(scope, places))
    body = f"""<h1>{escape(client)} asks for access</h1>
{_summary(error, "place-0")}<p>You are logged in as <strong>{escape(email)}</strong>.</p>
<p>It wants to, as far as your role allows it:</p>
<ul>{may}</ul>
<form method="post">
{_hidden(form_token)}{_choice(places)}
<p class="quiet">You will be sent to <strong>{escape(_origin(redirect_uri))}</strong>.</p>
<button class="main" name="action" value="allow">Allow</button>
<button name="action" value="deny" formnovalidate>Refuse</button>
<button name="action" value="logout" formnovalidate>Log out</button>
</form>"""
    return _page(f"Allow {client}?", body, error=bool(error), status=400 if error else 200, forms_to=redirect_uri)


def nowhere_page(form_token: str, *, client: str, email: str) -> Response:
    """The user has no organization in which this application could act."""
    body = f"""<h1>There is nothing to allow</h1>
<p>You are logged in as <strong>{escape(email)}</strong>, who is in no organization that {escape(client)} works for.
Ask an administrator of the organization to invite you, or log in as somebody else.</p>
<form method="post">{_hidden(form_token)}<button name="action" value="logout">Log out</button></form>"""
    return _page("Nothing to allow", body, status=403)


def error_page(message: str, *, status: int = 400, headers: Headers | None = None) -> Response:
    """An error that cannot be sent to the application."""
    body = f"""<h1>This cannot go on</h1>
{_summary(message, "")}<p>Go back to the application and try again; tell its maker if that does not help.</p>"""
    return _page("Error", body, error=True, status=status, headers=headers)


def invitation_page(token: str, *, name: str = "", field: str = "", error: str = "") -> Response:
    """Asks for a name and a password."""
    body = f"""<h1>Accept the invitation</h1>
{_summary(error, field if field in ("name", "password") else "")}<p>Choose a name and a password. If this address has an
account here already, give its password.</p>
<form method="post">
<input type="hidden" name="token" value="{escape(token)}">
<label for="name">Name</label>
<input id="name" name="name" type="text" autocomplete="name" maxlength="255" value="{escape(name)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required maxlength="1024">
<button class="main">Accept</button>
</form>"""
    return _page("Accept the invitation", body, error=bool(error), status=400 if error else 200)


def joined_page() -> Response:
    """The user has joined."""
    return _page("Welcome", "<h1>Welcome</h1>\n<p>You are a member now. Log in with your application.</p>")


def too_often_page(seconds: int) -> Response:
    """The page for a client IP that exceeded its limit."""
    message = f"Too many requests came from your address. Please wait {seconds} seconds."
    return error_page(message, status=429, headers={"Retry-After": str(seconds)})


def _page(
    title: str, body: str, *, error: bool = False, status: int = 200, forms_to: str = "", headers: Headers | None = None
) -> Response:
    shown = f"Error: {title}" if error and title != "Error" else title
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(shown)} - Delivery engine</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
    return Response(text, status, headers={**_guards(forms_to), **(headers or {})}, media_type="text/html")


def _guards(forms_to: str) -> dict[str, str]:
    """Content-Security-Policy: no scripts, no external resources, no framing; forms go to us and to the application."""
    targets = " ".join(["'self'", *([_source(forms_to)] if forms_to else [])])
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets}; "
        "frame-ancestors 'none'; base-uri 'none'",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _source(redirect_uri: str) -> str:
    """A form's allowed target as CSP source: an origin, or the scheme of an app."""
    parts = urlsplit(redirect_uri)
    return _origin(redirect_uri) if parts.scheme in {"http", "https"} else f"{parts.scheme}:"


def _origin(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    if parts.scheme not in {"http", "https"}:
        return f"the app {parts.scheme}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _summary(error: str, field: str) -> str:
    if not error:
        return ""
    text = f'<a href="#{field}">{escape(error)}</a>' if field else escape(error)
    return f"""<div class="error" role="alert" aria-labelledby="error-title">
<h2 id="error-title">There is a problem</h2><p id="error-text">{text}</p></div>
"""


def _hidden(form_token: str) -> str:
    return f'<input type="hidden" name="form_token" value="{escape(form_token)}">\n'


def _choice(places: Sequence[Holder]) -> str:
    if len(places) == 1:
        only = places[0]
        return (
            f'<input type="hidden" name="place" value="{place_id(only)}">'
            f"<p>It acts in <strong>{escape(only.place)}</strong>, where you are {escape(_role(only))}.</p>\n"
        )
    options = "".join(
        f'<label for="place-{number}"><input id="place-{number}" type="radio" name="place" required '
        f'value="{place_id(place)}"> {escape(place.place)} ({escape(_role(place))})</label>'
        for number, place in enumerate(places)
    )
    return f"<fieldset><legend>Where may it act?</legend>{options}</fieldset>\n"


def place_id(place: Holder) -> str:
    """The form value of a place."""
    return str(place.organization_id or "platform")


def _role(place: Holder) -> str:
    return place.role.replace("_", " ")


def _item(scope: Scope) -> str:
    return f'<li>{escape(in_words(scope))} <span class="quiet">({escape(scope)})</span></li>'


def _possible(scope: Scope, places: Sequence[Holder]) -> bool:
    return any(granted(place.role, [scope]) for place in places)
