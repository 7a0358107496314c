"""Foreign text (output of builds, responses of services, files), made fit for storage and display.

PostgreSQL stores no NUL character, and neither PostgreSQL nor JSON on the wire can carry a lone surrogate.
"""

import codecs
import re
from typing import Any

REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def storable(text: str) -> str:
    """The text with U+FFFD for each character that cannot be stored."""
    return _UNSTORABLE.sub(REPLACEMENT, text) if _UNSTORABLE.search(text) else text


def is_storable(text: str) -> bool:
    """Whether every character can be stored."""
    return _UNSTORABLE.search(text) is None


def storable_value(value: Any) -> Any:
    """The same for all strings and keys of a JSON value."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable_value(key): storable_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable_value(inner) for inner in value]
    return value


def decoded(data: bytes) -> str:
    """A file's text: UTF-8, or the encoding of its byte order mark (from Windows editors); the mark is removed."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding, errors="replace")
