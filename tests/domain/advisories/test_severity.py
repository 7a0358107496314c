"""How bad a weakness is."""

import pytest

from domain.advisories.severity import rate
from domain.findings import Severity
from tests.domain.advisories.records import advisory

V3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/"


def scored(*vectors, **more):
    return rate([advisory(severity=[{"type": kind, "score": vector} for kind, vector in vectors], **more)])


@pytest.mark.parametrize(
    ("kind", "vector", "score", "severity"),
    [
        # Scores as first.org's calculators give them.
        ("CVSS_V3", V3 + "C:H/I:H/A:H", 9.8, Severity.CRITICAL),
        ("CVSS_V3", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0, Severity.CRITICAL),
        ("CVSS_V3", "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5, Severity.HIGH),
        ("CVSS_V3", V3 + "C:N/I:N/A:L", 5.3, Severity.MEDIUM),
        ("CVSS_V3", "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6, Severity.LOW),
        ("CVSS_V4", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3, Severity.CRITICAL),
        ("CVSS_V4", "CVSS:4.0/AV:L/AC:L/AT:N/PR:L/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N", 4.8, Severity.MEDIUM),
        ("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0, Severity.HIGH),  # CVSS 2 knows no critical
        ("CVSS_V2", "AV:N/AC:M/Au:N/C:N/I:N/A:P", 4.3, Severity.MEDIUM),
    ],
)
def test_by_vector(kind, vector, score, severity):
    rated = scored((kind, vector))
    assert (rated.score, rated.vector, rated.severity) == (score, vector, severity)


def test_the_worst_of_the_newer_vectors_counts():
    assert scored(("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C"), ("CVSS_V3", V3 + "C:N/I:N/A:L")).score == 5.3
    assert scored(("CVSS_V3", V3 + "C:N/I:N/A:L"), ("CVSS_V3", V3 + "C:H/I:N/A:N")).score == 7.5


@pytest.mark.parametrize(
    "vector", ["", "CVSS:3.1/", "CVSS:3.1/AV:X", "high", "7.5", V3 + "C:H/I:H/A:H/" + "E:X/" * 40, "\x00" * 200]
)
@pytest.mark.parametrize("kind", ["CVSS_V2", "CVSS_V3", "CVSS_V4", "Ubuntu"])
def test_what_cannot_be_read_counts_as_none(kind, vector):
    assert scored((kind, vector)).severity is Severity.UNKNOWN
    assert scored((kind, vector), database_specific={"severity": "MODERATE"}).severity is Severity.MEDIUM


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("CRITICAL", Severity.CRITICAL),
        ("high", Severity.HIGH),
        ("Moderate", Severity.MEDIUM),
        ("LOW", Severity.LOW),
        ("dreadful", Severity.UNKNOWN),
        (9, Severity.UNKNOWN),
    ],
)
def test_by_the_database_s_word(word, severity):
    rated = scored(database_specific={"severity": word})
    assert (rated.severity, rated.score, rated.vector) == (severity, None, None)


def test_a_package_made_to_do_harm_is_critical():
    assert rate([advisory("MAL-2026-1")]).severity is Severity.CRITICAL
