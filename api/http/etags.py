"""Strong ETags of resources.

A tag is a hash of `data` as returned. Mutable resources contain `updated_at` to the microsecond besides their values,
so a write always changes the tag, even for two writes with the same transaction timestamp.
"""

import hashlib
import re
from collections.abc import Sequence

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import to_json

ANY = "*"
MAX_HEADER = 2048
_DIGEST_BYTES = 16
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# For documents: what clients should send. More forms are accepted; invalid ones are a 400.
IF_MATCH = r'^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$'
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
_EACH = re.compile(_TAG)


def etag_of(view: BaseModel) -> str:
    """The tag that `reply` gives to this view of a resource."""
    return tag_of_json(to_json(view))


def tag_of_json(data: bytes) -> str:
    """The strong tag of a resource's JSON."""
    return f'"{hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()}"'


def unchanged(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` names this tag: weak comparison (RFC 9110, 13.1.2); a malformed one is ignored."""
    lines = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"if-none-match"]
    given = parse_tags(lines) if lines else None
    return given is not None and (ANY in given or etag in {tag.removeprefix("W/") for tag in given})


def parse_tags(lines: Sequence[str]) -> Sequence[str] | None:
    """The tags in all lines of a header; None: there is none, or it is malformed."""
    joined = ", ".join(lines)
    if joined.strip() == ANY:
        return (ANY,)
    return _EACH.findall(joined) if len(joined) <= MAX_HEADER and _TAGS.fullmatch(joined) else None
