"""Answers for people, pipes and programs."""

import io
import json
import sys
from itertools import islice

import pytest
from delivery_cli.dispatch import with_fields
from delivery_cli.faults import UsageFault
from delivery_cli.output.clean import clean, one_line
from delivery_cli.output.printer import Printer, filtered, laid_out
from delivery_cli.output.times import span

ROWS = [{"name": "a", "size": 1, "tags": ["x", "y"]}, {"name": "b\x1b[31m", "size": None, "tags": []}]


def printed(capsys, printer, *, table=ROWS):
    printer.table(table, {"name": "NAME", "size": "SIZE", "tags": "TAGS"})
    return capsys.readouterr().out


def test_a_pipe_gets_whole_cells_between_tabs_without_a_header(capsys):
    assert printed(capsys, Printer()) == "a\t1\tx, y\nb\t-\t\n"


def test_a_screen_gets_columns_that_fit():
    long = "x" * 200
    lines = laid_out([["NAME", "SIZE"], [long, "1"]], 40)
    assert [len(line) for line in lines] == [len("NAME".ljust(34)) + 2 + 4, 37] or max(map(len, lines)) <= 40
    assert lines[1].startswith("xxx")
    assert "…" in lines[1]


def test_fields_of_json(capsys):
    assert json.loads(printed(capsys, Printer("name,size"))) == [
        {"name": "a", "size": 1},
        {"name": "b\x1b[31m", "size": None},
    ]
    assert json.loads(printed(capsys, Printer("*"))) == ROWS


def test_a_field_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UsageFault) as caught:
        Printer("nmae").answer({"name": 1, "size": 2})
    assert "nmae" in caught.value.message
    assert "name, size" in caught.value.hint


def test_jq(capsys):
    assert printed(capsys, Printer("", ".[] | select(.size == 1) | .name")) == "a\n"
    assert printed(capsys, Printer("", ".[0] | {name}")) == '{"name": "a"}\n'
    with pytest.raises(UsageFault, match="--jq"):
        Printer("", ".[").answer({})


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--json"], ["--json=*"]),
        (["--json", "--jq", "."], ["--json=*", "--jq", "."]),
        (["--json", "id,status"], ["--json", "id,status"]),
        (["--json=id"], ["--json=id"]),
        (["x", "--json"], ["x", "--json=*"]),
        (["--", "--json"], ["--", "--json"]),
    ],
)
def test_json_without_fields_means_all(given, read):
    assert with_fields(given) == read


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("\x1b[2Jgone", "gone"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;aGk=\x1b\\x", "x"),
        ("a\u202eb", "ab"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("\x9b31mred", "31mred"),
        ("back\x08space", "backspace"),
    ],
)
def test_control_sequences_of_strangers_do_not_reach_the_terminal(foreign, shown):
    assert clean(foreign) == shown


def test_json_on_a_screen_has_no_control_sequences_either(monkeypatch):
    """JSON escapes those below a space; jq's raw text escapes none."""
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", shown)
    Printer("*").answer({"text": "a\x9b31mb\u202e"})
    Printer("*", ".text").answer({"text": "\x1b]0;title\x07a\x1b[2Jb"})
    assert not set(shown.getvalue()) & set("\x1b\x07\x9b\u202e")


def test_jq_without_an_end_is_printed_as_it_comes():
    assert list(islice(filtered(1, "repeat(.)"), 3)) == [1, 1, 1]


def test_a_terminal_that_cannot_say_it_gets_a_question_mark(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Printer().line("✓ done")
    sys.stdout.flush()
    assert raw.getvalue() == b"? done\n"


def test_one_line_is_cut_with_a_sign():
    assert one_line("a\n b   c", 4) == "a b…"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (8, "8 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (4e5, "4 d"),
        (-5, "0 s"),
        (None, "-"),
    ],
)
def test_spans(seconds, words):
    assert span(seconds) == words
