"""The facts of an error, which answers list, by name."""

from collections.abc import Mapping
from typing import Any


def facts(error: Mapping[str, Any]) -> dict[str, Any]:
    """What programs read of each fact, else its words for people."""
    details = error.get("details", [])
    assert isinstance(details, list), error
    return {fact["field"]: fact.get("value", fact["message"]) for fact in details}
