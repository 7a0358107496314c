"""Versions of PyPI, npm and Go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from domain.findings import Ecosystem
from domain.package_versions.parsing import MAX_VERSION, parse_version

# https://semver.org/#spec-item-11, and pseudo-versions of Go.
SEMVER = [
    "0.0.0-20210101000000-abcdefabcdef",
    "0.0.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "2.0.0",
    "2.1.0",
    "2.1.1",
    "10.0.0",
]
PEP440 = ["1.0.dev1", "1.0a1.dev1", "1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0+local.1", "1.0.post1", "1.1", "1!0.1"]


@pytest.mark.parametrize(
    ("ecosystem", "ordered"), [(Ecosystem.NPM, SEMVER), (Ecosystem.GO, SEMVER), (Ecosystem.PYPI, PEP440)]
)
def test_known_orders(ecosystem, ordered):
    read = [parse_version(ecosystem, each) for each in ordered]
    assert None not in read
    assert sorted(read, key=lambda each: each) == read


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("v1.2.3", "1.2.3"),
        ("=1.2.3", "1.2.3"),
        ("1.2", "1.2.0"),
        ("1.2.3+incompatible", "1.2.3"),
        ("01.2.3", "1.2.3"),
        ("1.2.3beta", "1.2.3-beta"),
    ],
)
def test_spellings_of_the_same_version(left, right):
    assert parse_version(Ecosystem.NPM, left) == parse_version(Ecosystem.NPM, right)


@pytest.mark.parametrize(
    "text", ["", "latest", "1.2.3.4", "^1.2.3", "1.x", "file:../a", "1" * (MAX_VERSION + 1), "1.2.3-ä"]
)
def test_what_is_no_version_of_npm(text):
    assert parse_version(Ecosystem.NPM, text) is None


@pytest.mark.parametrize("text", ["1.0-foo-bar", "2004d-", "1.0.*", "", "9" * 5000])
def test_what_is_no_version_of_pypi(text):
    assert parse_version(Ecosystem.PYPI, text) is None


numbers = st.integers(0, 30)


@given(st.tuples(numbers, numbers, numbers), st.tuples(numbers, numbers, numbers))
def test_releases_are_ordered_by_their_numbers_everywhere(left, right):
    for ecosystem in Ecosystem:
        a, b = (parse_version(ecosystem, ".".join(map(str, each))) for each in (left, right))
        assert (a < b, a > b) == (left < right, left > right)


@given(st.sampled_from(PEP440), st.sampled_from(PEP440))
def test_pypi_is_what_packaging_says(left, right):
    assert (parse_version(Ecosystem.PYPI, left) < parse_version(Ecosystem.PYPI, right)) == (
        Version(left) < Version(right)
    )


@given(st.text(alphabet="0123456789.-+vabrcx", max_size=40), st.sampled_from(Ecosystem))
def test_any_text_is_a_version_or_none(text, ecosystem):
    read = parse_version(ecosystem, text)
    assert read is None or not read < read  # noqa: PLR0124 - a version is not below itself
