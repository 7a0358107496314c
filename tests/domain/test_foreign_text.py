import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.foreign_text import REPLACEMENT, decoded, is_storable, storable, storable_value
from tests.support.deep import by_depth

ANY = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)


@given(ANY)
def test_what_is_made_storable_is_and_stays_as_long(text):
    kept = storable(text)
    assert is_storable(kept)
    assert len(kept) == len(text)
    assert kept.encode().decode() == kept
    assert not is_storable(text) or kept == text


@given(st.recursive(st.none() | st.integers() | ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
@example({"\\u0000": ["\\ud800", "\x00", "\ud800"]})  # written out: that is text like any other
@settings(max_examples=by_depth(short=25, long=100))
def test_whole_values_are_made_storable(value):
    assert all(is_storable(text) for text in _texts(json.loads(json.dumps(storable_value(value)))))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_files_say_by_their_mark_how_they_are_written(encoding):
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    assert decoded(f"{mark}web: ünï\r\n".encode(encoding)) == "web: ünï\r\n"


def test_what_is_no_text_becomes_replacement_characters():
    assert decoded(b"a\xffb") == f"a{REPLACEMENT}b"
