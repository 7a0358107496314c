"""An adaptive batch size per transaction: smaller after a database timeout, so that work progresses at all."""

from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import DependencyError, ErrorCode


class Portion:
    """A number of rows, at least one.

    A transaction beyond the database's time limit is rolled back as a whole; a repeat of the same size would fail
    forever.

    Args:
        most: maximum number of rows.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most

    @contextmanager
    def tried(self) -> Iterator[int]:
        """Around one transaction of that many rows: a timeout halves the number, a success lets it grow again."""
        size = self.size
        try:
            yield size
        except DependencyError as error:
            if error.code == ErrorCode.TIMEOUT:
                self.size = max(1, size // 2)
            raise
        self.size = min(self._most, size * 2)
