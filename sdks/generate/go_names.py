"""How names of the API are spelt in Go."""

import re
from collections.abc import Mapping
from typing import Final

WORDS: Final[Mapping[str, str]] = {
    word.lower(): word
    for word in ("API", "ID", "URL", "URI", "SBOM", "SARIF", "HTTP", "JSON", "CVSS", "ETA", "UI", "TLS", "IP")
}
PLURALS: Final[Mapping[str, str]] = {"ids": "IDs", "urls": "URLs", "uris": "URIs"}
CALLED: Final[Mapping[str, str]] = {"api_keys": "APIKeys", "audit_log": "AuditLog"}
SINGULARS: Final[Mapping[str, str]] = {"metrics": "Metrics", "health": "Health", "audit_log": "AuditLog"}


def camel(name: str) -> str:
    """`project_id` and `If-Match` are `ProjectID` and `IfMatch`."""
    words = re.split(r"[-_]", name)
    return "".join(
        PLURALS.get(word.lower()) or WORDS.get(word.lower()) or word[:1].upper() + word[1:].lower() for word in words
    )


def local(name: str) -> str:
    """`project_id` is `projectID`."""
    head, *rest = name.split("_")
    return head + "".join(camel(word) for word in rest)


def resource(name: str) -> str:
    """The client's field."""
    return CALLED.get(name) or camel(name)


def service(name: str) -> str:
    """The type of a resource."""
    return f"{resource(name)}Service"


def singular(name: str) -> str:
    """What the types of a resource's parameters begin with."""
    return SINGULARS.get(name) or resource(name).removesuffix("s")


def class_name(code: str) -> str:
    """As `sdks/conformance/PROTOCOL.md` has it."""
    special = {"TIMEOUT": "GatewayTimeoutError", "INTERNAL_ERROR": "InternalError"}
    words = code.removesuffix("_ERROR").split("_")
    return special.get(code) or "".join(word.title() for word in words) + "Error"


def sentinel(code: str) -> str:
    """The variable of a code."""
    return f"Err{camel(_class_words(code))}"


def _class_words(code: str) -> str:
    special = {"TIMEOUT": "gateway_timeout", "INTERNAL_ERROR": "internal"}
    return special.get(code) or code.removesuffix("_ERROR").lower()


def sentence(text: str) -> str:
    """On one line, with a full stop."""
    return " ".join(text.split()).rstrip(".") + "."
