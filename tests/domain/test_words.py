"""Faults of schemas are told in our own words."""

import re
from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType

from domain.words import OTHERWISE, WORDS, words_of

# How the library speaks.
FOREIGN = re.compile(
    r"Input should|Value error|String should|List should|Field required|pydantic|ctx|Extra inputs", re.IGNORECASE
)


def test_every_fault_that_the_library_knows_has_words():
    assert set(get_args(ErrorType)) - WORDS.keys() == set()


@pytest.mark.parametrize("kind", sorted(WORDS))
def test_no_words_are_the_librarys(kind):
    assert not FOREIGN.search(WORDS[kind])


def test_words_say_what_the_schema_says():
    assert words_of({"type": "string_too_long", "ctx": {"max_length": 255}}) == "must have at most 255 characters"
    assert words_of({"type": "enum", "ctx": {"expected": "'git' or 'svn'"}}) == "must be one of: git, svn"
    assert words_of({"type": "too_short", "ctx": {"min_length": 1}}) == "must have at least one entry"
    assert words_of({"type": "value_error", "ctx": {"error": ValueError("must not be blank")}}) == "must not be blank"


def test_an_unknown_fault_is_shown_without_its_message():
    assert words_of({"type": "of_the_future", "msg": "Input should be of the future"}) == OTHERWISE
    assert words_of({"type": "greater_than", "msg": "Input should be greater", "ctx": {}}) == OTHERWISE
