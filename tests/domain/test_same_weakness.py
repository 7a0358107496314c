"""One weakness under several names: which of those that are known it is."""

from domain.findings import Severity
from domain.same_weakness import Known, less, settled
from tests.support.findings import code_finding, finding


def known(key: int, rule: str, *aliases: str, package: str = "requests", ecosystem: str = "PyPI") -> Known:
    return Known(key, finding(rule, name=package).fingerprint, ecosystem, package, (rule, *aliases))


def test_the_preferred_one_goes_on_and_the_others_are_replaced():
    rows = [known(2, "PYSEC-1"), known(1, "GHSA-1"), known(3, "CVE-1")]
    found = settled([finding("CVE-1", aliases=("GHSA-1", "PYSEC-1"))], rows)
    assert [one.fingerprint for one in found.findings] == [rows[0].fingerprint]
    assert found.replaced == {1, 3}


def test_what_is_known_does_not_bring_two_findings_together():
    """An alias that a database took back."""
    row = known(1, "CVE-1", "GHSA-2")
    first, second = finding("CVE-1", aliases=()), finding("GHSA-2", aliases=())
    for order in ([first, second], [second, first]):
        found = settled(order, [row])
        assert {one.fingerprint for one in found.findings} == {first.fingerprint, second.fingerprint}
        assert not found.replaced


def test_findings_with_a_name_between_them_are_one_with_all_names_and_what_mends_it():
    ends = finding("CVE-1", Severity.CRITICAL, aliases=(), fixed=()), finding("GHSA-1", aliases=(), fixed=("3",))
    between = finding("PYSEC-1", Severity.LOW, aliases=("CVE-1", "GHSA-1"), fixed=())
    code = [code_finding(), code_finding(path="other.py")]
    [one, *rest] = settled([*ends, *code, between], []).findings
    assert (one.rule, one.severity, set(one.aliases), one.fixed_versions) == (
        "CVE-1",
        Severity.CRITICAL,
        {"GHSA-1", "PYSEC-1"},
        ("3",),
    )
    assert rest == code


def test_another_package_or_ecosystem_is_another_weakness():
    rows = [known(1, "CVE-1", package="flask"), known(2, "CVE-1", ecosystem="npm")]
    found = finding("GHSA-1", aliases=("CVE-1",))
    assert settled([found], rows).findings == (found,)


def test_counts_are_less_what_turned_out_to_be_the_same():
    before = [finding("CVE-1"), finding("CVE-2")]
    assert less({Severity.HIGH: 9_000}, before, before[:1]) == {Severity.HIGH: 8_999}


def test_thousands_with_one_name_between_them_take_no_quadratic_time():
    many = [finding(f"GHSA-{n}", aliases=(f"GHSA-{n + 1}",)) for n in range(5_000)]
    [one] = settled(many, []).findings
    assert len(one.aliases) == 50
