"""Small types that everything else speaks in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    class CallOptions(TypedDict, total=False):
        """What every method takes besides its own arguments."""

        timeout: float
        """Seconds for each try; the client's `timeout` if it is not given."""
        max_retries: int
        """How often a try that failed is repeated; the client's `max_retries` if it is not given."""
        extra_headers: Mapping[str, str]
        """More headers for this call. They win over the client's."""

    class WriteOptions(CallOptions, total=False):
        """What methods take that change something."""

        idempotency_key: str
        """Makes repeating safe, also from another process. One is made for each call if it is not given."""


Json = dict[str, Any]


class NotGiven:
    """The type of `NOT_GIVEN`: an argument that was left out, which is not the same as None (null)."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()
