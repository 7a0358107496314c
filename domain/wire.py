"""What may be sent over the wire and to other programs: one rule per kind of text, for input and output alike.

Input is delivery.yaml, the API and the settings; output is the router's table, probes and commands. Each function
returns the fault, worded for the author of the text, or None.
"""

import math
import re
from pathlib import PurePosixPath

MAX_PATH = 512
MAX_HOST = 253
MAX_AUTHORITY = 260
MAX_FILE_NAME = 255
MAX_PORT = 65535
MAX_SOCKET_PATH = 107
# Used for every service with its own network; paired with the path of its unix socket.
PIPE_PORT = 8080
LEAST_SECONDS = 0.001
SHOWN = 80

# Visible ASCII (the characters of RFC 3986), without a fragment, which clients remove.
URL_PATH = r'^/[!"$-~]*$'
COOKIE_NAME = r"^[A-Za-z0-9_-]{1,64}$"
AUTHORITY = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$"
_AUTHORITY = re.compile(AUTHORITY)
_PATH = re.compile(URL_PATH)
_COOKIE = re.compile(COOKIE_NAME)
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_RELEASE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,64}")
_ENVIRONMENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def path_fault(path: str) -> str | None:
    """For a request path over HTTP, with or without a query."""
    if not path.startswith("/"):
        return f"must begin with /, got {shown(path)}"
    if len(path) > MAX_PATH:
        return f"must have at most {MAX_PATH} characters, it has {len(path)}"
    if not _PATH.fullmatch(path) or path.endswith("\n"):
        return (
            "must be a path of visible ASCII characters without #; write a space as %20 and other characters "
            f"percent-encoded, got {shown(path)}"
        )
    return None


def host_fault(host: str) -> str | None:
    """For an exact host name (RFC 1123, 2.1)."""
    if len(host) > MAX_HOST or not _HOST.fullmatch(host):
        return f"{shown(host)} is not an exact host name in lower case; wildcards are not routed"
    return None


def authority_fault(host: str) -> str | None:
    """For the Host of a request: a name or an IPv4 address, with or without a port."""
    if len(host) > MAX_AUTHORITY or not _AUTHORITY.fullmatch(host) or host.endswith("\n"):
        return f"must be a host name with letters, digits, - and ., and a port if there is one, got {shown(host)}"
    return None


def cookie_fault(name: str) -> str | None:
    """For a cookie's name; Envoy interprets other characters."""
    if not _COOKIE.fullmatch(name) or name.endswith("\n"):
        return f"the cookie name {shown(name)} has unusual characters"
    return None


def release_fault(release_id: str) -> str | None:
    """For a release's id: it names clusters and statistics."""
    if not _RELEASE_ID.fullmatch(release_id):
        return f"release id {shown(release_id)} may have letters, digits, - and _ only, at most 64"
    return None


def environment_fault(environment_id: str) -> str | None:
    """For an environment's id: it names virtual hosts."""
    if not _ENVIRONMENT_ID.fullmatch(environment_id):
        return f"environment id {shown(environment_id)} has unusual characters"
    return None


def is_token(token: str) -> bool:
    """Whether it is a valid preview token: 8 to 64 letters, digits, - and _."""
    return bool(_TOKEN.fullmatch(token))


def seconds_fault(seconds: float) -> str | None:
    """For a duration."""
    if not math.isfinite(seconds) or seconds < LEAST_SECONDS:
        return f"must be at least {LEAST_SECONDS} seconds, it is {seconds}"
    return None


def text_fault(text: str) -> str | None:
    """For an argument or a variable of a process."""
    if "\0" in text:
        return "must not have a NUL character; no program can be given one"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "must not have half a character (a lone surrogate)"
    return None


def file_fault(path: str) -> str | None:
    """For a file path, relative or not."""
    if fault := text_fault(path):
        return fault
    if any(len(part.encode()) > MAX_FILE_NAME for part in PurePosixPath(path).parts):
        return f"must not have a name of more than {MAX_FILE_NAME} bytes between two /"
    return None


def socket_fault(path: str) -> str | None:
    """For the path of a unix socket."""
    if not path.startswith("/") or text_fault(path):
        return f"must be an absolute path, got {shown(path)}"
    if len(path.encode()) > MAX_SOCKET_PATH:
        return f"must have at most {MAX_SOCKET_PATH} bytes, it has {len(path.encode())}"
    return None


def shown(text: str) -> str:
    """The beginning of a text for a message: on one line, with all characters visible."""
    return ascii(text[:SHOWN])
