"""Logs as the shim writes them, read while they are turned over."""

import os
from pathlib import Path

import pytest

from domain.log_lines import take_lines, wanted_bytes
from domain.masking import Masker
from drivers.shim import times
from drivers.shim.log import CappedLog
from runtime.log_files import RotatedLog, moment_of, read_plain

LIMIT = 400_000
PADDING = "x" * 87
WIDTH = 100


@pytest.fixture
def clock(monkeypatch):
    """The shim's clock, in ms."""

    class Clock:
        ms = 1_000_000

    monkeypatch.setattr(times, "_now_ms", lambda: Clock.ms)
    return Clock


def written(tmp_path: Path, clock, count: int) -> CappedLog:
    log = CappedLog(str(tmp_path / "log"), LIMIT, rotate=True)
    for number in range(count):
        clock.ms += 1000
        log.write(f"line {number:06} {PADDING}\n".encode())
    return log


def test_offsets_count_over_all_files_and_each_line_has_its_moment(tmp_path, clock):
    written(tmp_path, clock, 10_000)
    log = RotatedLog(tmp_path / "log")
    begin, end = log.bounds()
    assert end == 10_000 * WIDTH
    assert 0 < begin < end - 100_000
    piece = log.read(begin - 500, 10**7)
    assert (piece.at, piece.end, piece.is_last, piece.within) == (begin, end, True, True)
    lines = take_lines(piece.data, piece.at, masker=Masker(()), most=10**7, within=True).lines
    moments = log.moments(begin, end)
    assert {int(line.text[5:11]) - (moment_of(moments, line.offset) or 0) // 1000 for line in lines} == {-1001}
    assert lines[-1].text.startswith("line 009999")


def test_a_place_behind_a_line_feed_is_a_beginning(tmp_path, clock):
    written(tmp_path, clock, 10)
    log = RotatedLog(tmp_path / "log")
    assert [log.read(place, 1).within for place in (0, 1, 99, 100, 200, 1000)] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]


def test_since_is_found_in_either_file(tmp_path, clock):
    written(tmp_path, clock, 10_000)
    log = RotatedLog(tmp_path / "log")
    begin, _ = log.bounds()
    for number in (begin // WIDTH + 1, 9000, 9999):
        assert log.since(1_000_000 + 1000 * (number + 1)) == number * WIDTH
    assert log.since(clock.ms + 1) == log.bounds()[1]
    assert log.since(0) <= begin + WIDTH


def test_another_process_of_the_shim_counts_on(tmp_path, clock):
    for _ in range(4):
        written(tmp_path, clock, 1500)
    log = RotatedLog(tmp_path / "log")
    assert log.bounds()[1] == 4 * 1500 * WIDTH
    assert (log.read(log.bounds()[1] - WIDTH, 11).data, log.read(10**9, 5).data) == (b"line 001499", b"")


def test_a_log_without_times_is_read_all_the_same(tmp_path):
    (tmp_path / "log").write_bytes(b"new\n")
    (tmp_path / "log.1").write_bytes(b"old\n")
    log = RotatedLog(tmp_path / "log")
    assert log.read(0, 100).data == b"old\nnew\n"
    assert (log.moments(0, 8), log.since(0), log.bounds()) == ([], 8, (0, 8))
    assert RotatedLog(tmp_path / "none").read(5, 5).data == b""


def test_very_short_lines_take_no_more_than_a_quarter_for_their_times(tmp_path, clock):
    log = CappedLog(str(tmp_path / "log"), LIMIT, rotate=True)
    for _ in range(20_000):
        clock.ms += 1000
        log.write(b"\n")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1.5 * LIMIT
    assert RotatedLog(tmp_path / "log").bounds()[1] == 20_000


def test_of_too_much_at_once_the_offsets_count_what_is_left_out(tmp_path, clock):
    log = CappedLog(str(tmp_path / "log"), LIMIT, rotate=True)
    log.write(b"x" * 10 * LIMIT + b"\nlast\n")
    found = RotatedLog(tmp_path / "log")
    assert found.bounds()[1] == 10 * LIMIT + 6
    assert found.read(10 * LIMIT + 1, 100).data == b"last\n"


def test_links_and_pipes_are_not_read(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "log").symlink_to(tmp_path / "secret")
    assert RotatedLog(tmp_path / "log").read(0, 10).data == b""
    assert read_plain(tmp_path / "log", 0, 10).data == b""
    os.mkfifo(tmp_path / "pipe")
    assert read_plain(tmp_path / "pipe", 0, 10).data == b""


@pytest.mark.parametrize("border", range(1, 40))
def test_a_secret_is_masked_wherever_the_pieces_meet(tmp_path, border):
    path = tmp_path / "log"
    path.write_bytes(b"a" * border + b" hunter2-hunter2 \nsecond hunter2-hunter2\n")
    masker, place, text = Masker(["hunter2-hunter2"]), 0, []
    while True:
        raw = read_plain(path, place, wanted_bytes(8, masker))
        piece = take_lines(raw.data, raw.at, masker=masker, most=8, within=raw.within)
        if not piece.lines:
            break
        text += [line.text for line in piece.lines]
        place = piece.end
    assert text == ["a" * border + " *** ", "second ***"]


def test_ten_megabytes_without_a_line_feed_are_one_cut_line(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"y" * 10_000_000 + b"\nnext\n")
    place, lines, reads = 0, [], 0
    while True:
        raw = read_plain(path, place, wanted_bytes(65536, Masker(())))
        piece = take_lines(raw.data, raw.at, masker=Masker(()), most=65536, within=raw.within)
        if piece.end == place:
            break
        lines, place, reads = [*lines, *piece.lines], piece.end, reads + 1
    assert [len(line.text) for line in lines] == [16384 + 42, 4]
    assert lines[0].text.endswith("[... cut: the line is longer than 16 KiB]")
    assert reads < 200
