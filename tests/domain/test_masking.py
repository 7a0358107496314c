"""Values of secrets in the output of others' programs."""

import json

import pytest

from domain.log_lines import take_lines
from domain.masking import MASK, Masker, masked

VALUE = 'pa"ss-of-a-service'


def test_what_is_stored_masked_is_so_as_json_writes_it_too():
    for value in (VALUE, "tab\tand-more", "zürich-zürich"):
        for form in (value, json.dumps(value), json.dumps(value, ensure_ascii=False)):
            assert masked(f"it is {form}!", [value]) in {f"it is {MASK}!", f'it is "{MASK}"!'}
    assert masked("second-line", ["first-line\nsecond-line"]) == MASK


@pytest.mark.parametrize("length", range(4, len(VALUE)))
def test_the_beginning_of_a_value_at_the_end_of_what_is_there_is_not_shown(length):
    masker, data = Masker([VALUE]), b"it is " + VALUE[:length].encode()
    assert [line.text for line in take_lines(data, 0, masker=masker, most=100, final=True).lines] == ["it is ***"]
    assert masker.hidden(data) == b"it is " + b"*" * length
    whole = data + b"\n"
    assert masker.hidden(whole) == whole, "a line that is whole ends with no value that goes on"


def test_a_value_whose_end_is_like_its_beginning_is_masked_altogether():
    masker, data = Masker(["abcd-more-abcd"]), b"1 abcd-more-abcd"
    assert [line.text for line in take_lines(data, 0, masker=masker, most=100, final=True).lines] == ["1 ***"]
    assert masker.hidden(data) == b"1 " + b"*" * 14


def test_what_is_hidden_keeps_its_length_also_where_values_overlap():
    masker = Masker(["abcdef", "defghi", "aaaa", "many\nlines-of-it"])
    for text in (b"abcdefghi", b"aaaaaaa", b"lines-of-it", b"many\nlines-of-it"):
        assert masker.hidden(b"<" + text + b">\n") == b"<" + b"*" * len(text) + b">\n" or b"\n" in text
        assert len(masker.hidden(text)) == len(text)
        assert set(masker.hidden(text)) <= set(b"*\n")
    assert Masker(()).hidden(b"nothing") == b"nothing"


def test_a_value_of_one_letter_over_and_over_takes_no_square_of_time():
    data = b"a" * 4 * 1024 * 1024
    assert set(Masker(["a" * 60_000]).hidden(data)) == {ord("*")}


def test_of_a_value_with_very_many_lines_each_is_hidden_as_a_line_of_the_output():
    lines = [f"line-{number:05}-of-it" for number in range(3000)]
    masker = Masker(["\n".join(lines)])
    assert set(masker.hidden("\n".join(lines[2000:2010]).encode() + b"\n")) == set(b"*\n")
