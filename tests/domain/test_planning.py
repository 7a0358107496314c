"""The states of requirements and features, and the page that publishes them."""

from itertools import product
from pathlib import Path

import pytest

from domain.errors import ErrorCode, UnprocessableError
from domain.planning import (
    FEATURE_MEANINGS,
    FEATURE_MOVES,
    REQUIREMENT_MEANINGS,
    REQUIREMENT_MOVES,
    STATES_FILE,
    FeatureStatus,
    RequirementStatus,
    check_move,
    states_page,
)
from tests.domain.test_lifecycle_properties import reachable

ROOT = Path(__file__).parents[2]
MACHINES = [
    pytest.param(REQUIREMENT_MOVES, REQUIREMENT_MEANINGS, RequirementStatus.DRAFT, id="requirement"),
    pytest.param(FEATURE_MOVES, FEATURE_MEANINGS, FeatureStatus.NOT_STARTED, id="feature"),
]


@pytest.mark.parametrize(("table", "meanings", "start"), MACHINES)
def test_every_state_has_a_row_and_a_meaning_and_none_is_a_dead_end(table, meanings, start):
    states = set(type(start))
    assert set(table) == set(meanings) == states
    assert all(reachable(table, state) == states for state in states)
    assert all(state not in after for state, after in table.items()), "staying is possible without being listed"


@pytest.mark.parametrize(("table", "meanings", "start"), MACHINES)
def test_a_move_is_in_the_table_or_refused_with_those_that_are(table, meanings, start):
    for before, after in product(meanings, repeat=2):
        if before == after or after in table[before]:
            check_move(table, before, after)
            continue
        with pytest.raises(UnprocessableError) as refused:
            check_move(table, before, after)
        assert refused.value.code is ErrorCode.UNPROCESSABLE
        details = refused.value.details
        assert (details["state"], details["asked"], set(details["allowed"])) == (before, after, table[before])


def test_the_published_page_is_the_one_of_the_code():
    refresh = f".venv/bin/python -m domain.planning > {STATES_FILE}"
    assert (ROOT / STATES_FILE).read_text() == states_page(), f"refresh it with: {refresh}"
