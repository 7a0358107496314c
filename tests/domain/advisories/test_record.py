"""Reading one advisory: what is bounded, and what is an error."""

import json
import re

import pytest

from domain.advisories.record import MAX_EVENTS, MAX_RECORD, Record
from domain.findings import Ecosystem
from tests.domain.advisories.records import advisory, osv
from tests.support.osv import OSV


def parse(told):
    return Record.parse(json.dumps(told).encode())


def test_every_advisory_of_the_data_set_is_read():
    read = [Record.parse(path.read_bytes()) for path in sorted(OSV.rglob("*.json"))]
    assert len(read) == 29
    assert {ecosystem for each in read for ecosystem, _, _ in each.packages} == set(Ecosystem)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": None}, "an id must"),
        ({"id": "x" * 129}, "an id must"),
        ({"id": "../../x y"}, "an id must"),
        ({"aliases": "CVE-2020-1"}, "aliases must be a list"),
        ({"aliases": [["CVE-2020-1"]]}, "an id must"),
        ({"modified": None}, "modified must"),
        ({"modified": "yesterday"}, "modified must"),
        ({"affected": {}}, "affected must be a list"),
        ({"affected": ["left-pad"]}, "must be an object"),
        (
            {
                "affected": [
                    {
                        "package": {"ecosystem": "npm", "name": "a"},
                        "ranges": [{"type": "SEMVER", "events": [{"fixed": 1}]}],
                    }
                ]
            },
            "a version must",
        ),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1" * 300]}]}, "a version must"),
    ],
)
def test_what_is_wrong_is_an_error_in_words(change, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        parse({**osv(), **change})


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000, b" " * (MAX_RECORD + 1)]
)
def test_what_is_no_advisory_is_an_error(raw):
    with pytest.raises(ValueError):  # noqa: PT011 - of several readers
        Record.parse(raw)


def test_too_many_events_are_an_error():
    events = [{"introduced": f"{n}.0.0"} for n in range(MAX_EVENTS + 1)]
    with pytest.raises(ValueError, match="events"):
        parse(osv("GHSA-aaaa-bbbb-cccc", events))


def test_a_byte_order_mark_is_none_of_it():
    assert Record.parse(b"\xef\xbb\xbf" + json.dumps(osv()).encode()).id == "GHSA-aaaa-bbbb-cccc"


def test_ecosystems_with_a_suffix_and_other_ecosystems():
    package = {"name": "org.x:y"}
    told = osv()
    told["affected"] = [
        {"package": {**package, "ecosystem": each}}
        for each in ("Maven:https://repo.example/", "Debian:12", "Packagist", "maven")
    ]
    assert [(ecosystem, name) for ecosystem, name, _ in parse(told).packages] == [(Ecosystem.MAVEN, "org.x:y")]


def test_names_of_pypi_have_one_spelling():
    assert [name for _, name, _ in parse(osv(ecosystem="PyPI", name="Foo__Bar.baz")).packages] == ["foo-bar-baz"]


def test_what_can_be_neither_kept_nor_shown_is_replaced():
    read = advisory(
        summary="a\x00b\ud800",
        details="d" * 10_000,
        references=[{"url": "javascript:alert(1)"}, {"url": "https://a.example/\x00"}, 7],
    )
    assert (read.summary, len(read.details), read.links) == ("a\ufffdb\ufffd", 4096, ("https://a.example/\ufffd",))


def test_moments_sort_as_texts():
    moments = ["2026-11-01T00:00:00.123456Z", "2026-11-01T01:00:00+02:00"]
    assert [advisory(modified=each).modified for each in moments] == ["2026-11-01T00:00:00Z", "2026-10-31T23:00:00Z"]
