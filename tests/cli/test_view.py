"""The live view of snapshots that were taken from a running stack: what it says, how wide it is, and how it ends."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from delivery_cli.exits import Exit
from delivery_cli.live.follow import server_now
from delivery_cli.live.snapshot import Snapshot, moment
from delivery_cli.live.view import view, words
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent / "snapshots"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def snapshot(name, **changes):
    found = json.loads((FOLDER / f"{name}.json").read_text())
    for part, fields in changes.items():
        found[part] = {**found[part], **fields}
    return Snapshot(**found)


def drawn(one, width=80, height=None, *, colour=False, now=None):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    console.print(view(one, now or moment(one.deployment["updated_at"]), width, height))
    return out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_drawn_as_it_was_when_it_was_looked_at(name):
    path = FOLDER / f"{name}.txt"
    text = "\n".join(line.rstrip() for line in drawn(snapshot(name)).splitlines()) + "\n"
    assert text == path.read_text(), f"look at it; if it is better now: write it to {path}"


@pytest.mark.parametrize("name", ["good_canary", "bad_canary", "rolled_back", "approval", "queue"])
def test_the_page_about_it_shows_it(name):
    page = (Path(__file__).parents[2] / "docs" / "howto" / "watching.md").read_text()
    assert f"```\n{(FOLDER / f'{name}.txt').read_text()}```\n" in page


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_no_line_is_wider_than_the_terminal(name, width):
    assert max(cell_len(line) for line in drawn(snapshot(name), width).splitlines()) <= width


@pytest.mark.parametrize("name", NAMES)
def test_without_colours_it_says_the_same(name):
    coloured = drawn(snapshot(name), colour=True)
    assert "\x1b[" in coloured
    assert Text.from_ansi(coloured).plain.split() == drawn(snapshot(name)).split()


@pytest.mark.parametrize("name", NAMES)
def test_colours_are_the_terminals_own_so_that_its_theme_decides(name):
    """The sixteen colours and bold; nothing that is invisible on white or on black: no white, black or background."""
    codes = {
        code
        for found in re.findall(r"\x1b\[([0-9;]*)m", drawn(snapshot(name), colour=True))
        for code in found.split(";")
    }
    assert codes <= {"0", "1", "31", "32", "33", "36", "90"}


@pytest.mark.parametrize("name", NAMES)
def test_where_there_is_little_room_the_end_is_still_seen(name):
    short = drawn(snapshot(name), height=16).splitlines()
    assert len(short) <= max(16, len(drawn(snapshot(name)).splitlines()) - 6)
    assert short[-1] == drawn(snapshot(name)).splitlines()[-1]


EXITS = {
    "building": Exit.DONE,
    "good_canary": Exit.DONE,
    "live": Exit.DONE,
    "bad_canary": Exit.DONE,
    "rolled_back": Exit.ROLLED_BACK,
    "approval": Exit.WAITING,
    "held": Exit.WAITING,
    "queue": Exit.DONE,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_exit_code_tells_the_state(name):
    assert snapshot(name).exit_code == EXITS[name]


@pytest.mark.parametrize("status", ["failed", "cancelled", "superseded"])
def test_other_ends_are_failures(status):
    assert snapshot("live", deployment={"status": status}).exit_code == Exit.FAILED


def test_a_build_that_failed_is_failed_although_its_deployment_never_began():
    one = snapshot("live", deployment={"status": "pending"}, operation={"status": "failed", "done": True})
    assert (one.status, one.exit_code) == ("failed", Exit.FAILED)


def test_the_weight_that_is_wanted_next():
    good = snapshot("good_canary")
    assert (good.weight, good.wanted) == (50, 50)
    moving = snapshot("good_canary", operation={"current_step": "Sending 100 % of the traffic to the new version"})
    assert (moving.weight, moving.wanted) == (50, 100)
    assert "50 % now, 100 % wanted" in drawn(moving)
    back = snapshot("good_canary", deployment={"status": "rolling_back"})
    assert (back.weight, back.wanted) == (50, 0)


def test_time_left_is_told_where_the_server_knows_it():
    assert "about 1 min 5 s left" in drawn(snapshot("good_canary", operation={"eta_seconds": 65}))


def test_a_server_whose_clock_is_ahead_makes_no_negative_times():
    ahead = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    one = snapshot("good_canary", deployment={"updated_at": ahead}, operation={"created_at": ahead})
    assert server_now(one) == moment(ahead)
    assert "-" not in drawn(one, now=server_now(one)).splitlines()[1].replace("blue-green", "")


def test_names_of_strangers_cannot_draw():
    one = snapshot("live", deployment={"git_branch": "\x1b[2J\u202eevil", "version_tag": "1\n2"})
    assert "\x1b" not in drawn(one)
    assert "1 2 to dev" in drawn(one)
    assert words(one).count("\n") == 0


def test_unknown_words_of_a_newer_server_are_shown_as_they_are():
    one = snapshot("good_canary", deployment={"status": "meditating"})
    sample = {
        **one.timeline["samples"][-1],
        "evidence": [{"metric": "karma", "finding": "odd", "evidence": 1, "limit": 2}],
    }
    newer = snapshot("good_canary", deployment={"status": "meditating"}, timeline={"samples": [sample]})
    assert "meditating" in drawn(newer)
    assert "karma" in drawn(newer)


def test_a_line_for_pipes():
    assert words(snapshot("good_canary")).startswith(" 71 %  rolling out  Comparing the new version")
    assert words(snapshot("rolled_back")) == " 99 %  rolled back"
