"""The contract's examples against real answers: equal in shape and value, but for ids and times, equal in kind."""

import re
from typing import Any

_ID = re.compile(r"^[a-z]+-uuid(-[a-z0-9-]+)?$")
_OURS = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
# Who did something is told by the token's subject, which another issuer may write as it likes.
PERCENTILES = {f"api_latency_{name}_ms" for name in ("p50", "p95", "p99")}
PEOPLE = ("user-uuid", "req-uuid")


def differences(expected: Any, actual: Any, where: str = "") -> list[str]:
    """What an answer lacks or says otherwise. The contract's `...` stands for anything; more fields are fine."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{where}: {actual!r} is no object"]
        return [fault for key, value in expected.items() for fault in _field(value, actual, key, where)]
    if isinstance(expected, list):
        return _list(expected, actual, where)
    return [] if _alike(expected, actual) else [f"{where}: {actual!r} instead of {expected!r}"]


def _field(expected: Any, actual: dict[str, Any], key: str, where: str) -> list[str]:
    here = f"{where}.{key}".lstrip(".")
    if key not in actual:
        return [f"{here} is missing"]
    if key == "version" and where == "":  # of the release that answers
        return [] if re.fullmatch(r"\d+\.\d+\.\d+", actual[key]) else [f"{here}: {actual[key]!r} is no version"]
    if key in PERCENTILES:
        return [] if _is_near(expected, actual[key]) else [f"{here}: {actual[key]!r} is not within 1 % of {expected!r}"]
    return differences(expected, actual[key], here)


def _is_near(expected: int, actual: Any) -> bool:
    """A percentile is told within 1 %, as a whole number of milliseconds."""
    return type(actual) is int and abs(actual - expected) <= expected / 100 + 0.5


def _list(expected: list[Any], actual: Any, where: str) -> list[str]:
    if not isinstance(actual, list):
        return [f"{where}: {actual!r} is no list"]
    if expected == ["..."]:
        return [] if actual else [f"{where} is empty"]
    if len(actual) < len(expected):
        return [f"{where} has {len(actual)} items, the contract shows {len(expected)}"]
    pairs = enumerate(zip(expected, actual, strict=False))
    return [fault for number, (want, have) in pairs for fault in differences(want, have, f"{where}[{number}]")]


def _alike(expected: Any, actual: Any) -> bool:
    if isinstance(expected, str) and isinstance(actual, str):
        return _alike_texts(expected, actual)
    if isinstance(expected, bool) or expected is None:
        return expected is actual
    if isinstance(expected, int):  # where the contract has no fraction, a client in a typed language has an integer
        return type(actual) is int and expected == actual
    return not isinstance(actual, bool) and expected == actual


def _alike_texts(expected: str, actual: str) -> bool:
    if expected == "...":
        return True
    if "/" in expected and "-uuid-" in expected:
        parts = list(zip(expected.split("/"), actual.split("/"), strict=False))
        return expected.count("/") == actual.count("/") and all(_alike_texts(*pair) for pair in parts)
    if expected.startswith(PEOPLE) and _ID.match(expected):
        return bool(actual)
    if _ID.match(expected):
        return bool(_OURS.match(actual))
    return bool(_TIME.match(actual)) if _TIME.match(expected) else expected == actual
