"""JSON with one meaning: what two readers may read in two ways is refused."""

import json
from collections import Counter
from typing import Any, NoReturn


class DuplicateNameError(ValueError):
    """An object has a name twice; which value counts is up to who reads it."""


def strict_json(text: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        DuplicateNameError: an object has a name twice.
        ValueError: it is no JSON (RFC 8259), also for NaN and infinities, or not UTF-8.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_refuse)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise DuplicateNameError(f"the name {twice[:64]!r} is there twice")
    return found


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is no JSON"
    raise ValueError(msg)
