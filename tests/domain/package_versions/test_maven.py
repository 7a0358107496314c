"""Maven's order of versions, against what Maven itself says."""

import itertools
from pathlib import Path

import pytest

from domain.package_versions.maven import MavenVersion

TABLE = Path(__file__).with_name("maven_versions.tsv")


def compared(left: str, right: str) -> int:
    a, b = MavenVersion(left), MavenVersion(right)
    return (a > b) - (a < b)


def test_every_pair_of_the_table_is_ordered_as_by_maven():
    pairs = [line.split("\t") for line in TABLE.read_text().splitlines()]
    wrong = [(left, right, said) for left, right, said in pairs if compared(left, right) != int(said)]
    assert (len(pairs), wrong) == (1500, [])


@pytest.mark.parametrize(
    "ordered",
    [
        ["1-alpha", "1-beta", "1-milestone", "1-rc", "1-SNAPSHOT", "1", "1-sp", "1-abc", "1-1", "1.1"],
        ["2.0-beta9", "2.0-rc1", "2.0", "2.3.1", "2.4", "2.12.2", "2.13.0", "2.15.0"],
        ["31.0-android", "31.0.1-android", "31.1-jre"],
    ],
)
def test_known_orders(ordered):
    assert [compared(a, b) for a, b in itertools.pairwise(ordered)] == [-1] * (len(ordered) - 1)


@pytest.mark.parametrize(
    ("left", "right"), [("1", "1.0.0"), ("1-ga", "1"), ("1.Final", "1"), ("1-cr1", "1-RC1"), ("1a1", "1-alpha-1")]
)
def test_spellings_of_the_same_version(left, right):
    assert compared(left, right) == 0


def test_a_version_of_hyphens_alone_is_compared():
    assert compared("1" + "-1" * 127, "1" + "-1" * 126) == 1
    assert compared("-" * 256, "1") == -1
