"""Types shared by several request and response models. Input is strict and bounded; output is always in UTC."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from domain.few_fields import few_fields
from domain.texts import name_of, nfc, text_of

MAX_LINE = 255
# Lists are sorted by names: one must fit into an index and into a cursor, in UTF-8.
MAX_NAME = 400
MAX_TEXT = 20_000
MAX_URL = 2048
MAX_LIST = 100
MAX_INT = 2**31 - 1

T = TypeVar("T")

# As the contract prints numbers: integers without a fraction, so that 90 comes back as 90.
Decimal = Annotated[float, PlainSerializer(lambda it: int(it) if it.is_integer() else it)]


def _fitting(normal: Callable[[str], str], shortest: int, longest: int) -> AfterValidator:
    """Normalises, then checks the schema's length: trimming shortens, and some characters become several."""

    def check(text: str) -> str:
        text = normal(text)
        if len(text.strip()) < shortest:
            raise ValueError("must not be blank" if shortest == 1 else f"must have at least {shortest} characters")
        if len(text) > longest:
            raise ValueError(f"must have at most {longest} characters in Unicode's normal form C")
        return text

    return AfterValidator(check)


def one_line(shortest: int = 0, longest: int = MAX_LINE) -> AfterValidator:
    """For a name, or another text shown on one line: see `domain.texts.name_of`."""
    return _fitting(name_of, shortest, longest)


def many_lines(shortest: int = 0, longest: int = MAX_TEXT) -> AfterValidator:
    """For a text: see `domain.texts.text_of`."""
    return _fitting(text_of, shortest, longest)


def _searched(text: str) -> str:
    """Normalised like stored names, so that they are found; characters that no name can have are refused."""
    return nfc(_storable(text))


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


# For values that are compared with stored ones but never stored.
Searched = AfterValidator(_searched)


def _slug(text: str) -> str:
    if text.startswith("-") or text.endswith("-"):
        raise ValueError("must begin and end with a letter or a digit")
    return text


Line = Annotated[str, StringConstraints(max_length=MAX_LINE), one_line()]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT), many_lines()]
# For required texts: blank counts as missing.
SaidLine = Annotated[str, StringConstraints(max_length=MAX_LINE), one_line(1)]
SaidText = Annotated[str, StringConstraints(max_length=MAX_TEXT), many_lines(1)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=MAX_LINE), AfterValidator(_slug)]
Texts = Annotated[list[SaidText], Field(max_length=MAX_LIST)]
Lines = Annotated[list[SaidLine], Field(max_length=MAX_LIST)]
Timestamp = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


def _whole(value: object) -> object:
    """JSON has one kind of number, but true and text are not numbers."""
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns ValueError into a fault
    return value


Whole = Annotated[int, BeforeValidator(_whole)]


class Body(BaseModel):
    """Base of request bodies: unknown fields are errors, not silently dropped."""

    model_config = ConfigDict(extra="forbid")

    _few = model_validator(mode="before")(few_fields)


class View(BaseModel):
    """Base of responses: read from rows, without defaults."""

    model_config = ConfigDict(from_attributes=True)


def seconds_between(started: datetime | None, ended: datetime | None) -> int | None:
    """Whole seconds from start to end; None unless both are known."""
    return None if started is None or ended is None else max(0, round((ended - started).total_seconds()))
