"""What of the contract belongs to later issues: it does not exist yet, and a test says so when it begins to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Documents = Mapping[str, Any]


@dataclass(frozen=True)
class Later:
    """One such thing.

    `issue`: the issue that brings it. `exists` looks at the OpenAPI document and at the headers of an ordinary answer.
    `sections`: those of the contract that lack it.
    """

    what: str
    issue: str
    exists: Callable[[Documents, Mapping[str, str]], bool]
    sections: tuple[str, ...] = ()


def _path(part: str) -> Callable[[Documents, Mapping[str, str]], bool]:
    return lambda document, _: any(part in path for path in document["paths"])


LATER: tuple[Later, ...] = ()
# Endpoints that have a block of their own in the contract, and are not replayed yet.
ENDPOINTS: set[str] = set()
