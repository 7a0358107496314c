"""The base of all payloads, and the bounded text that may enter a workflow history."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from domain.foreign_text import storable

MAX_TEXT = 8192

BoundedText = Annotated[str, StringConstraints(max_length=MAX_TEXT)]


class Payload(BaseModel):
    """One input and one result model per workflow, activity, update. Unknown fields of newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Nothing(Payload):
    """No result."""


def bounded(text: str, limit: int = MAX_TEXT) -> str:
    """The text in storable form, shortened in its middle to `limit` characters."""
    text = storable(text)
    if len(text) <= limit:
        return text
    mark = "\n[...]\n"
    half = (limit - len(mark)) // 2
    return text[:half] + mark + text[-half:]
