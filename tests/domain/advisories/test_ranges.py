"""OSV's evaluation: which versions have a weakness."""

import pytest

from domain.advisories.ranges import Installed, UnreadableRangeError, fixes, is_affected
from domain.findings import Ecosystem
from tests.domain.advisories.records import advisory

GHSA = "GHSA-aaaa-bbbb-cccc"


def affected(version, *ranges, ecosystem="npm", kind="SEMVER", versions=()):
    read = advisory(GHSA, *ranges, ecosystem=ecosystem, name="a:b", kind=kind, versions=versions)
    return is_affected(Installed.of(Ecosystem(ecosystem), version), read)


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}], ["0.0.0-alpha", "0.0.1", "99.0.0"], []),
        ([{"introduced": "0"}, {"fixed": "1.2.0"}], ["0.0.0-0", "1.1.9", "1.2.0-rc.1"], ["1.2.0", "1.2.0+x", "2.0.0"]),
        ([{"introduced": "1.0.0"}, {"last_affected": "1.2.0"}], ["1.0.0", "1.2.0"], ["0.9.0", "1.2.1"]),
        ([{"introduced": "1.2.0"}, {"last_affected": "1.2.0"}], ["1.2.0"], ["1.1.9", "1.2.1"]),
        # Not sorted, several in one range.
        (
            [{"fixed": "3.1.0"}, {"introduced": "3.0.0"}, {"fixed": "1.5.0"}, {"introduced": "0"}],
            ["1.4.0", "3.0.5"],
            ["1.5.0", "2.0.0", "3.1.0"],
        ),
        # What is introduced where another thing was fixed.
        (
            [{"introduced": "1.0.0"}, {"fixed": "2.0.0"}, {"introduced": "2.0.0"}, {"fixed": "3.0.0"}],
            ["1.0.0", "2.0.0", "2.9.9"],
            ["3.0.0"],
        ),
        # https://ossf.github.io/osv-schema/#affectedrangesevents-fields: a limit bounds what is looked at.
        ([{"introduced": "0"}, {"limit": "2.0.0"}], ["1.9.9"], ["2.0.0", "3.0.0"]),
        ([{"introduced": "0"}, {"limit": "*"}], ["1.9.9", "3.0.0"], []),
        ([], [], ["1.0.0"]),
        ([{"fixed": "1.0.0"}], [], ["0.9.0", "1.0.0"]),
    ],
)
def test_ranges(events, inside, outside):
    assert [affected(each, events) for each in inside + outside] == [True] * len(inside) + [False] * len(outside)


def test_two_events_in_one_object():
    assert affected("1.0.0", [{"introduced": "0", "fixed": "1.2.0"}])
    assert not affected("1.2.0", [{"introduced": "0", "fixed": "1.2.0"}])


@pytest.mark.parametrize(
    ("ecosystem", "version", "events", "holds"),
    [
        ("PyPI", "1.10", [{"introduced": "0"}, {"fixed": "1.9"}], False),
        ("PyPI", "1.10rc1", [{"introduced": "1.2"}, {"fixed": "1.10"}], True),
        ("PyPI", "1.10.post1", [{"introduced": "1.2"}, {"fixed": "1.10"}], False),
        ("PyPI", "1!1.0", [{"introduced": "0"}, {"fixed": "2.0"}], False),
        ("Maven", "2.14.1", [{"introduced": "2.13.0"}, {"fixed": "2.15.0"}], True),
        ("Maven", "2.0-beta9", [{"introduced": "2.0-beta9"}, {"fixed": "2.3.1"}], True),
        ("Maven", "2.0-beta8", [{"introduced": "2.0-beta9"}, {"fixed": "2.3.1"}], False),
        ("Maven", "1.0.RELEASE", [{"introduced": "0"}, {"fixed": "1.0"}], False),
        (
            "Go",
            "v1.18.8",
            [{"introduced": "0"}, {"fixed": "1.18.9"}, {"introduced": "1.19.0-0"}, {"fixed": "1.19.4"}],
            True,
        ),
        (
            "Go",
            "v1.18.9",
            [{"introduced": "0"}, {"fixed": "1.18.9"}, {"introduced": "1.19.0-0"}, {"fixed": "1.19.4"}],
            False,
        ),
        (
            "Go",
            "v1.19.0-rc1",
            [{"introduced": "0"}, {"fixed": "1.18.9"}, {"introduced": "1.19.0-0"}, {"fixed": "1.19.4"}],
            True,
        ),
        ("Go", "v3.2.0+incompatible", [{"introduced": "0"}, {"fixed": "4.0.0-preview1"}], True),
        (
            "Go",
            "v0.0.0-20201016220609-9e8e0b390897",
            [{"introduced": "0"}, {"fixed": "0.0.0-20220314234659-1baeb1ce4c0b"}],
            True,
        ),
    ],
)
def test_each_ecosystem_in_its_order(ecosystem, version, events, holds):
    assert affected(version, events, ecosystem=ecosystem, kind="ECOSYSTEM") is holds


def test_listed_versions_hold_whatever_the_ranges_say():
    fixed = [{"introduced": "0"}, {"fixed": "1.0.0"}]
    assert affected("2.0.0", fixed, versions=["2.0.0"])
    assert affected("2.0", ecosystem="PyPI", versions=["2.0.0"])
    assert not affected("2.1", ecosystem="PyPI", versions=["2.0.0"])
    assert affected("not-a-version", versions=["not-a-version"], ecosystem="PyPI")


def test_commits_are_no_versions():
    assert not affected("1.0.0", [{"introduced": "0"}], kind="GIT")


def test_a_range_that_cannot_be_read_is_no_range_without_the_version():
    with pytest.raises(UnreadableRangeError):
        affected("1.0.0", [{"introduced": "0"}, {"fixed": "never"}])
    assert affected("1.0.0", [{"introduced": "0"}, {"fixed": "never"}], [{"introduced": "0"}, {"fixed": "2.0.0"}])


def test_fixes_are_the_nearest_first_and_fix_everything():
    version = Installed.of(Ecosystem.NPM, "1.0.0")
    one = advisory(GHSA, [{"introduced": "0"}, {"fixed": "1.0.1"}], [{"introduced": "2.0.0"}, {"fixed": "2.3.0"}])
    other = advisory(GHSA, [{"introduced": "0"}, {"fixed": "1.10.0"}], [{"introduced": "0.1.0"}, {"fixed": "0.9.0"}])
    assert fixes(version, [one], 10) == ["1.0.1", "2.3.0"]
    assert fixes(version, [one, other], 10) == ["1.10.0", "2.3.0"]  # 1.0.1 still has the other
    assert fixes(version, [advisory(GHSA, [{"introduced": "0"}])], 10) == []
