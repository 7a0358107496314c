"""Whether what came is what a scenario expects: objects by the keys that it names, everything else exactly."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
SHOWN: Final = 300


def faults(expected: object, actual: object, where: str = "it") -> Iterator[str]:
    """What is not as expected, in words.

    An object whose keys begin with $ is a demand: `{"$contains": "x"}`, `{"$matches": "^a"}`, and others in `_DEMANDS`.
    Null stands for a field that is not there as well. Dates are compared as instants.
    """
    if isinstance(expected, Mapping) and expected and all(str(key).startswith("$") for key in expected):
        for key, wanted in expected.items():
            yield from _DEMANDS[key](wanted, actual, where)
    elif isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            yield f"{where} is no object: {shown(actual)}"
            return
        for key, wanted in expected.items():
            yield from faults(wanted, actual.get(key), f"{where}.{key}")
    elif isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            yield f"{where} is no list of {len(expected)}: {shown(actual)}"
            return
        for number, (wanted, one) in enumerate(zip(expected, actual, strict=True)):
            yield from faults(wanted, one, f"{where}[{number}]")
    elif not _same(expected, actual):
        yield f"{where} is {shown(actual)}, not {shown(expected)}"


def shown(value: object) -> str:
    """A value for a person: not all of it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _same(expected: object, actual: object) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, str) and isinstance(actual, str) and _DATE.fullmatch(expected) and _DATE.fullmatch(actual):
        return datetime.fromisoformat(expected) == datetime.fromisoformat(actual)
    return expected == actual


def _contains(wanted: Any, actual: object, where: str) -> Iterator[str]:
    """A text has these (one or a list), whatever the case; a list has these items."""
    for one in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(actual, str) and isinstance(one, str):
            if one.lower() not in actual.lower():
                yield f"{where} does not contain {one!r}: {shown(actual)}"
        elif not isinstance(actual, list) or all(any(True for _ in faults(one, item)) for item in actual):
            yield f"{where} does not contain {shown(one)}: {shown(actual)}"


def _lacks(wanted: Any, actual: object, where: str) -> Iterator[str]:
    """A text that has none of these."""
    if not isinstance(actual, str):
        yield f"{where} is no text: {shown(actual)}"
        return
    for one in wanted if isinstance(wanted, list) else [wanted]:
        if one in actual:
            yield f"{where} contains {one!r}"


def _matches(wanted: str, actual: object, where: str) -> Iterator[str]:
    if not isinstance(actual, str) or not re.search(wanted, actual, re.DOTALL):
        yield f"{where} does not match {wanted!r}: {shown(actual)}"


def _not(wanted: object, actual: object, where: str) -> Iterator[str]:
    if not any(True for _ in faults(wanted, actual)):
        yield f"{where} is {shown(actual)}"


def _there(wanted: bool, actual: object, where: str) -> Iterator[str]:  # noqa: FBT001 - the demand's value
    if (actual is not None) is not wanted:
        yield f"{where} is {'not there' if wanted else shown(actual)}"


def _one_of(wanted: list[Any], actual: object, where: str) -> Iterator[str]:
    if all(any(True for _ in faults(one, actual)) for one in wanted):
        yield f"{where} is {shown(actual)}, none of {shown(wanted)}"


def _length(wanted: object, actual: object, where: str) -> Iterator[str]:
    if not isinstance(actual, list | str):
        yield f"{where} has no length: {shown(actual)}"
    else:
        yield from faults(wanted, len(actual), f"the length of {where}")


def _number(is_good: Callable[[float, float], bool], words: str) -> Callable[[float, object, str], Iterator[str]]:
    def check(wanted: float, actual: object, where: str) -> Iterator[str]:
        if isinstance(actual, bool) or not isinstance(actual, int | float) or not is_good(actual, wanted):
            yield f"{where} is {shown(actual)}, not {words} {wanted}"

    return check


def _each(wanted: object, actual: object, where: str) -> Iterator[str]:
    """All items are so, and there is one at least."""
    if not isinstance(actual, list) or not actual:
        yield f"{where} has no items: {shown(actual)}"
        return
    for number, one in enumerate(actual):
        yield from faults(wanted, one, f"{where}[{number}]")


def _last(wanted: object, actual: object, where: str) -> Iterator[str]:
    if not isinstance(actual, list) or not actual:
        yield f"{where} has no items: {shown(actual)}"
    else:
        yield from faults(wanted, actual[-1], f"the last of {where}")


def _some(wanted: object, actual: object, where: str) -> Iterator[str]:
    yield from _contains([wanted], actual, where)


def _rises(wanted: bool, actual: object, where: str) -> Iterator[str]:  # noqa: FBT001 - the demand's value
    """Numbers that never fall."""
    if not isinstance(actual, list) or (sorted(actual) == actual) is not wanted:
        yield f"{where} is not in order: {shown(actual)}"


def _unique(wanted: bool, actual: object, where: str) -> Iterator[str]:  # noqa: FBT001 - the demand's value
    if not isinstance(actual, list) or (len(set(map(repr, actual))) == len(actual)) is not wanted:
        yield f"{where} has{' ' if wanted else ' no '}equal items: {shown(actual)}"


def _date(wanted: bool, actual: object, where: str) -> Iterator[str]:  # noqa: FBT001 - the demand's value
    if (isinstance(actual, str) and _DATE.fullmatch(actual) is not None) is not wanted:
        yield f"{where} is {shown(actual)}: {'no' if wanted else 'a'} date with an offset"


_DEMANDS: Final[Mapping[str, Callable[[Any, object, str], Iterator[str]]]] = {
    "$contains": _contains,
    "$lacks": _lacks,
    "$matches": _matches,
    "$not": _not,
    "$there": _there,
    "$one_of": _one_of,
    "$length": _length,
    "$least": _number(lambda actual, wanted: actual >= wanted, "at least"),
    "$most": _number(lambda actual, wanted: actual <= wanted, "at most"),
    "$each": _each,
    "$last": _last,
    "$some": _some,
    "$rises": _rises,
    "$unique": _unique,
    "$date": _date,
}
