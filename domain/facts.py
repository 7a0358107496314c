"""`details` of an error in the contract's format: always a list, each entry with a field and a message."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

MAX_WORDS: Final = 1000
FACT: Final = "fact"
# Facts that name fields of the request: the error's own message is about these fields.
_FIELDS: Final = ("field", "fields")


class Fault(BaseModel):
    """One fault of a request, or one fact about why it cannot be carried out.

    `pointer` (RFC 6901) is set for faults in the body. Facts have the code `fact` and a `value` for programs.
    """

    field: str
    message: str
    pointer: str | None
    code: str
    value: Any | None = Field(default=None, exclude_if=lambda value: value is None)


def faults_of(message: str, facts: Mapping[str, Any], code: str = FACT) -> list[Fault]:
    """Facts by name as a list.

    Args:
        message: of the error; used for the fields that the facts name as `field` or `fields`.
        facts: JSON-safe.
        code: of those fields.
    """
    named = [*([facts["field"]] if "field" in facts else []), *facts.get("fields", ())]
    about = [Fault(field=str(name), message=message, pointer=None, code=code) for name in named]
    others = {name: value for name, value in facts.items() if name not in _FIELDS}
    return about + [_fact(name, value) for name, value in others.items()]


def listed_error(kept: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An operation's error as shown: workflows and rows store facts by name, responses list them."""
    if kept is None:
        return None
    facts = faults_of(kept["message"], kept.get("details") or {}, str(kept["code"]).lower())
    return {**kept, "details": [fact.model_dump(mode="json") for fact in facts]}


def _fact(name: str, value: Any) -> Fault:
    return Fault(field=name, message=_words(value)[:MAX_WORDS], pointer=None, code=FACT, value=value)


def _words(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "none"
    return "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)
