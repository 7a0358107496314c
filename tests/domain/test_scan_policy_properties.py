"""What stops a delivery: limits against findings, whatever was found, suppressed or has no fixed version."""

from hypothesis import given
from hypothesis import strategies as st

from domain.delivery_spec import ScanSpec
from domain.findings import ScanResult, Severity, ToolRun, counts_of
from domain.lifecycle import ScanStatus
from domain.scan_policy import LIMITED, UNKNOWN_AS, judge, named, told, unjudged, violated, worst_first
from tests.support.findings import code_finding, finding

RAN = (ToolRun(tool="advisories", version="1"),)
BROKEN = (*RAN, ToolRun(tool="bandit", fault="it took longer than 5 s and was ended"))


# Each severity in the sources, and in a package with and without a fixed version.
POOL = [
    one
    for number in range(3)
    for severity in Severity
    for one in (
        code_finding(f"B{number}-{severity}", severity),
        finding(f"GHSA-{number}-{severity}", severity, name=f"p{number}"),
        finding(f"GHSA-n{number}-{severity}", severity, name=f"n{number}", fixed=()),
    )
]
findings = st.lists(st.sampled_from(POOL), unique_by=lambda one: one.fingerprint, max_size=30)


limits = st.one_of(st.none(), st.integers(0, 12))
specs = st.builds(
    ScanSpec,
    max_critical=limits,
    max_high=limits,
    max_medium=limits,
    max_low=limits,
    unfixed=st.sampled_from(["count", "ignore"]),
)


@st.composite
def cases(draw) -> tuple[ScanResult, ScanSpec, set[str]]:
    found = draw(findings)
    suppressed = {one.fingerprint for one in draw(st.sets(st.sampled_from(found)))} if found else set()
    runs = draw(st.sampled_from([RAN, BROKEN]))
    return ScanResult(findings=tuple(found), tools=runs), draw(specs), suppressed


def counted(result: ScanResult, spec: ScanSpec, suppressed: set[str]) -> dict[Severity, int]:
    """A second, simpler truth: one finding after the other."""
    counts = dict.fromkeys(LIMITED, 0)
    for one in result.findings:
        if one.fingerprint in suppressed or (spec.unfixed == "ignore" and one.package and not one.fixed_versions):
            continue
        counts[UNKNOWN_AS if one.severity is Severity.UNKNOWN else one.severity] += 1
    return counts


@given(cases())
def test_it_stops_if_and_only_if_more_count_than_a_limit_allows_or_it_cannot_be_judged(case):
    result, spec, suppressed = case
    counts = counted(result, spec, suppressed)
    over = {one for one in LIMITED if (limit := getattr(spec, f"max_{one}")) is not None and counts[one] > limit}
    has_limit = any(getattr(spec, f"max_{one}") is not None for one in LIMITED)
    is_blind = has_limit and result.tools == BROKEN
    verdict = judge(result, spec, suppressed)
    assert {violation.severity for violation in verdict.violations} == over
    assert all(violation.found == counts[violation.severity] for violation in verdict.violations)
    assert bool(verdict.unjudged) == is_blind
    assert verdict.stops == (bool(over) or is_blind)
    assert (verdict.status is ScanStatus.FAILED) == verdict.stops


@given(cases())
def test_all_findings_are_accounted_for(case):
    result, spec, suppressed = case
    verdict = judge(result, spec, suppressed)
    assert sum(verdict.open.values()) + verdict.suppressed + verdict.unfixed == len(result.findings)


@given(cases())
def test_passed_means_that_all_ran_and_nothing_grave_is_open(case):
    result, spec, suppressed = case
    verdict = judge(result, spec, suppressed)
    if verdict.status is ScanStatus.PASSED:
        assert result.tools == RAN
        assert not any(verdict.open[one] for one in (Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN))


@given(cases(), st.data())
def test_suppressing_more_never_stops_what_went_through(case, data):
    result, spec, suppressed = case
    names = [one.fingerprint for one in result.findings]
    more = suppressed | (data.draw(st.sets(st.sampled_from(names))) if names else set())
    if not judge(result, spec, suppressed).stops:
        assert not judge(result, spec, more).stops


@given(cases())
def test_the_words_name_the_worst_and_stay_short(case):
    result, spec, suppressed = case
    verdict = judge(result, spec, suppressed)
    words = violated(verdict, {one.fingerprint: one.fingerprint for one in result.findings})
    assert len(words) < 4096
    for violation in verdict.violations:
        kept = [one for one in result.findings if one.fingerprint not in suppressed]
        assert violation.worst[0] in kept
        assert named(violation.worst[0]) in words
        assert f"scan.max_{violation.severity} allows {violation.limit}" in words
    assert len(told(result, verdict)) <= 4000
    if verdict.unjudged:
        assert "bandit: it took longer" in unjudged(result, verdict)


@given(findings)
def test_the_order_is_the_same_whatever_came_first(found):
    assert worst_first(found) == worst_first(found[::-1])


def test_what_was_cut_counts():
    kept = finding()
    found = counts_of([Severity.HIGH]) | {Severity.LOW: 9, Severity.UNKNOWN: 3}
    result = ScanResult(findings=(kept,), tools=RAN, found=found)
    assert [one.found for one in judge(result, ScanSpec(max_low=8), ()).violations] == [9]
    assert [one.found for one in judge(result, ScanSpec(max_medium=2), ()).violations] == [3]
    assert not judge(result, ScanSpec(max_high=0), {kept.fingerprint}).stops


def test_packages_that_nobody_compared_with_advisories_are_no_pass():
    package = finding().package
    result = ScanResult(packages=(package,), tools=RAN)
    verdict = judge(result, ScanSpec(max_critical=0), ())
    assert verdict.unjudged == ("1 packages were not compared with any advisories (docs/advisories.md)",)
    assert judge(result, ScanSpec(), ()).status is ScanStatus.WARNINGS


def test_words_of_strangers_do_no_harm_on_a_terminal():
    odd = finding("GHSA-\x1b[31m\u202e", name="p\x00" * 250)
    assert not {"\x1b", "\x00", "\u202e"} & set(named(odd))
    assert len(named(odd)) <= 200
