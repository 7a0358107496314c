"""DNS-safe host labels made from slugs (RFC 1123, 2.1): `[a-z0-9]`, inner hyphens, at most 63 characters."""

import re

MAX_LABEL = 63
FALLBACK = "x"
_OTHER = re.compile(r"[^a-z0-9]+")


def host_label(slug: str) -> str:
    """The label for a slug. Different slugs may have the same one: see `with_suffix`."""
    label = _OTHER.sub("-", slug.lower()).strip("-")
    return label[:MAX_LABEL].rstrip("-") or FALLBACK


def with_suffix(label: str, suffix: str) -> str:
    """The label made unique by a suffix of letters and digits, at most 63 characters."""
    room = MAX_LABEL - len(suffix) - 1
    return f"{label[:room].rstrip('-')}-{suffix}"
