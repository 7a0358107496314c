"""4xx: what counts as an error is the spec's, and a difference in the others is named and held."""

import pytest

from domain.canary.counts import SideCounts
from domain.canary.error_kinds import counted
from domain.canary.judge import judge
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Judgement, Verdict
from domain.delivery_spec_loader import parse_delivery
from domain.errors import TerminalError
from tests.domain.canary.traffic import ERRORS_ONLY, START, at

POLICY = AnalysisPolicy(duration=10, compare=ERRORS_ONLY)


def judged(stable: tuple[int, int], canary: tuple[int, int], looks: int, policy: AnalysisPolicy = POLICY) -> Judgement:
    """(requests, 4xx) of each side, dealt over the looks."""
    state = JudgeState.begin(START)
    for measurement in range(1, looks + 1):
        theirs, mine = (
            SideCounts(requests=requests * measurement // looks, client_errors=refused * measurement // looks)
            for requests, refused in (stable, canary)
        )
        judgement, state = judge(policy, state, theirs, mine, at(10 * measurement / looks))
    assert judgement.final
    return judgement


@pytest.mark.parametrize("looks", [1, 10])
@pytest.mark.parametrize(("stable", "canary"), [((600, 0), (600, 600)), ((600, 600), (600, 0)), ((900, 9), (300, 60))])
def test_a_difference_in_either_direction_is_named_and_held(stable, canary, looks):
    judgement = judged(stable, canary, looks)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reasons[0].startswith("4xx: canary ")
    assert "the two sides differ; list 4xx in analysis.errors if they are errors" in judgement.reasons[0]


@pytest.mark.parametrize("looks", [1, 10])
@pytest.mark.parametrize(("stable", "canary"), [((900, 90), (300, 33)), ((900, 0), (300, 0)), ((9000, 9), (3000, 6))])
def test_the_same_share_of_them_passes(stable, canary, looks):
    assert judged(stable, canary, looks).verdict is Verdict.PASS


def test_without_a_stable_release_they_are_shown_beside_the_limit():
    policy = AnalysisPolicy(duration=10, compare=(), max_error_rate=5)
    judgement, _ = judge(policy, JudgeState.begin(START), None, SideCounts(requests=600, client_errors=600), at(10))
    assert "4xx that do not count as errors: 100 % (600 of 600)" in judgement.reasons[0]


def test_a_provider_that_does_not_count_them_has_no_such_metric():
    both = SideCounts(requests=600)
    judgement, _ = judge(POLICY, JudgeState.begin(START), both, both, at(10))
    assert len(judgement.metrics) == 1


QUERIES = {name: f'sum({name}{{r="{{{{release}}}}"}})' for name in ("requests", "errors")}
BY_QUERIES = AnalysisPolicy.model_validate(
    {"duration": 10, "compare": ERRORS_ONLY, "provider": "prometheus", "prometheus": {**QUERIES}}
)
KNOWN, UNKNOWN = SideCounts(requests=600, client_errors=0), SideCounts(requests=600)


@pytest.mark.parametrize(
    ("policy", "stable", "canary", "words"),
    [
        (BY_QUERIES, UNKNOWN, UNKNOWN, "the queries for Prometheus do not tell them"),
        (BY_QUERIES.model_copy(update={"compare": (), "max_error_rate": 5}), None, UNKNOWN, "the queries for Prom"),
        (POLICY, KNOWN, UNKNOWN, "they are not known of canary"),
        (POLICY, UNKNOWN, KNOWN, "they are not known of stable"),
    ],
)
def test_what_is_not_judged_for_want_of_a_count_is_named(policy, stable, canary, words):
    judgement, _ = judge(policy, JudgeState.begin(START), stable, canary, at(10))
    assert judgement.verdict is Verdict.PASS
    assert judgement.reasons[-1].startswith(f"4xx are not judged: {words}")


@pytest.mark.parametrize(("stable", "canary"), [(KNOWN, UNKNOWN), (UNKNOWN, KNOWN), (UNKNOWN, UNKNOWN)])
@pytest.mark.parametrize("errors", [("4xx", "5xx"), ("404",)])
def test_where_4xx_are_asked_for_and_nobody_counts_them_it_is_no_pass(stable, canary, errors):
    policy = POLICY.model_copy(update={"errors": errors})
    judgement, _ = judge(policy, JudgeState.begin(START), stable, canary, at(10))
    assert (judgement.verdict, judgement.final) == (Verdict.INCONCLUSIVE, True)
    assert any(reason.startswith("4xx are not judged: they are not known of") for reason in judgement.reasons)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("5xx", ("5xx",)),
        ("4xx,5xx", ("4xx", "5xx")),
        ("'5XX, 429'", ("429", "5xx")),
        ("503", ("503",)),
        ("[404, 5xx, 404]", ("404", "5xx")),
    ],
)
def test_what_counts_is_written_as_a_text_a_number_or_a_list(text, kinds):
    assert parse_delivery(f"analysis:\n  errors: {text}").analysis.errors == kinds


@pytest.mark.parametrize("text", ["2xx", "600", "[]", "''", "true", "{}", "5x", "[5xx, [4xx]]", "null", "[399]"])
def test_anything_else_is_refused_by_its_key(text):
    with pytest.raises(TerminalError, match=r"analysis\.errors"):
        parse_delivery(f"analysis:\n  errors: {text}")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("5xx",), (7, 12)),
        (("4xx", "5xx"), (19, 0)),
        (("404", "5xx"), (15, 4)),
        (("503",), (2, 12)),
        (("404", "4xx"), (12, 0)),
    ],
)
def test_counting_by_classes_and_codes(kinds, expected):
    codes = {404: 8, 429: 4, 500: 5, 503: 2}
    assert counted(kinds, {"4xx": 12, "5xx": 7}, codes) == expected
