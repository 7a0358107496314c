"""What takes too long is done in smaller portions."""

import pytest

from domain.errors import DependencyError, ErrorCode
from events.portion import Portion


def too_long(portion: Portion) -> None:
    with pytest.raises(DependencyError), portion.tried():
        raise DependencyError("too slow", code=ErrorCode.TIMEOUT)


def test_it_is_halved_to_one_when_it_takes_too_long_and_grows_when_it_does_not() -> None:
    portion, sizes = Portion(10), []
    for _ in range(5):
        sizes.append(portion.size)
        too_long(portion)
    for _ in range(5):
        with portion.tried() as size:
            sizes.append(size)
    assert sizes == [10, 5, 2, 1, 1, 1, 2, 4, 8, 10]


def test_a_database_that_is_away_makes_it_no_smaller() -> None:
    portion = Portion(10)
    with pytest.raises(DependencyError), portion.tried():
        raise DependencyError("away")
    assert portion.size == 10
