"""Models that users write and the engine stores: strict on input, lenient when read back."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import ConfigDict

STORED_CONFIG = ConfigDict(frozen=True, extra="ignore", json_schema_extra={"additionalProperties": False})
"""For models in payloads and rows that a newer version of the engine may have written, with unknown keys.

Parsers of user input pass `extra="forbid"`; the published schema says the same.
"""


def known_to(kind: type[Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a stored record for which a dataclass has fields.

    Raises:
        TypeError: it is not a record.
    """
    if not isinstance(stored, Mapping):
        raise TypeError(f"a record of {kind.__name__} holds keys and values, this is a {type(stored).__name__}")
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in stored.items() if name in names}
