"""Which answers count as errors: the key `analysis.errors`."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

SERVER_ERRORS = ("5xx",)
_KIND = re.compile(r"[45](xx|[0-9]{2})")
_MAX_KINDS = 20


def _kinds(given: Any) -> tuple[str, ...]:
    """Parses `5xx`, `4xx,503`, `[404, 5xx]` or the number 503; sorted, without duplicates."""
    if isinstance(given, str):
        given = given.split(",")
    elif isinstance(given, int) and not isinstance(given, bool):
        given = [given]
    if not isinstance(given, (list, tuple)) or not given or len(given) > _MAX_KINDS:
        msg = f"give one to {_MAX_KINDS} of 4xx, 5xx and codes from 400 to 599, such as `5xx` or `[5xx, 429]`"
        raise ValueError(msg)
    kinds = [str(kind).strip().lower() for kind in given]
    wrong = next((kind for kind in kinds if not _KIND.fullmatch(kind)), None)
    if wrong is not None:
        msg = f"{wrong[:20]!r} is no kind of error: give 4xx, 5xx or a code from 400 to 599"
        raise ValueError(msg)
    return tuple(sorted(set(kinds), key=lambda kind: (kind[1:] == "xx", kind)))


ErrorKinds = Annotated[
    tuple[str, ...],
    BeforeValidator(_kinds, json_schema_input_type=str | int | list[str | int]),
    Field(min_length=1, max_length=_MAX_KINDS),
]


def counted(kinds: Iterable[str], classes: Mapping[str, int], codes: Mapping[int, int]) -> tuple[int, int]:
    """The number of errors, and of 4xx that are not errors.

    Args:
        kinds: the answers that count as errors.
        classes: answers by class (`4xx`, `5xx`).
        codes: answers by code.
    """
    wanted = set(kinds)
    errors = sum(classes.get(kind, 0) for kind in ("4xx", "5xx") if kind in wanted)
    single = {int(kind) for kind in wanted if kind.isdecimal() and f"{kind[0]}xx" not in wanted}
    errors += sum(codes.get(code, 0) for code in single)
    refused = sum(codes.get(code, 0) for code in single if code < _FIRST_SERVER_ERROR)
    others = 0 if "4xx" in wanted else max(0, classes.get("4xx", 0) - refused)
    return errors, others


_FIRST_SERVER_ERROR = 500
