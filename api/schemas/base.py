"""Types that several wire models share. Input is strict and bounded; output always says UTC."""

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_LINE = 255
# Lists are sorted by names: in UTF-8 one has to fit into an index, and into a cursor.
MAX_NAME = 400
MAX_TEXT = 20_000
MAX_URL = 2048
MAX_LIST = 100
MAX_INT = 2**31 - 1

T = TypeVar("T")


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Storable = AfterValidator(_storable)
NotBlank = AfterValidator(_not_blank)
Line = Annotated[str, StringConstraints(max_length=MAX_LINE), Storable]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT), Storable]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=MAX_LINE)]
Texts = Annotated[list[Text], Field(max_length=MAX_LIST)]
Lines = Annotated[list[Line], Field(max_length=MAX_LIST)]
Timestamp = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


def _whole(value: object) -> object:
    """JSON has one kind of number, but true is none and text is none."""
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns ValueError into a fault
    return value


Whole = Annotated[int, BeforeValidator(_whole)]


class Body(BaseModel):
    """Base of request bodies: unknown fields are faults, not silently dropped."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """Base of what is answered: read from rows, no defaults."""

    model_config = ConfigDict(from_attributes=True)


def seconds_between(started: datetime | None, ended: datetime | None) -> int | None:
    """Whole seconds from start to end; None unless both are known."""
    return None if started is None or ended is None else max(0, round((ended - started).total_seconds()))
