"""How much is done in one transaction: less whenever the database took too long for it, so that it gets on at all."""

from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import DependencyError, ErrorCode


class Portion:
    """A number of rows, at least one.

    What takes longer than the database's limit is rolled back whole; done again as it was, it would be for ever.

    Args:
        most: rows, while all is well.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most

    @contextmanager
    def tried(self) -> Iterator[int]:
        """One transaction with so many rows: it is halved when that took too long, and grows again when it did not."""
        size = self.size
        try:
            yield size
        except DependencyError as error:
            if error.code == ErrorCode.TIMEOUT:
                self.size = max(1, size // 2)
            raise
        self.size = min(self._most, size * 2)
