"""What a tenant writes and what is asked: every selector is bound to the tenant's series, or nothing is asked."""

import promql_parser as promql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import TerminalError
from drivers.metrics.scoping import scoped
from tests.support.deep import by_depth

LABELS = (("organization_id", "o-1"), ("project", "shop"))
OURS = 'organization_id="o-1",project="shop"'


def bound(query: str) -> str:
    return scoped(query, LABELS, "analysis.prometheus.requests")


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("x", f"x{{{OURS}}}"),
        ('x{a="b"}', f'x{{a="b",{OURS}}}'),
        ('{__name__=~".+"}', f'{{__name__=~".+",{OURS}}}'),
        ('x{organization_id="o-2"}', f'x{{organization_id="o-2",{OURS}}}'),
        ('x{organization_id!=""}', f'x{{organization_id!="",{OURS}}}'),
        ("sum(x) + y", f"sum(x{{{OURS}}}) + y{{{OURS}}}"),
        ("x or on() y", f"x{{{OURS}}} or on () y{{{OURS}}}"),
        ("topk(scalar(z), x)", f"topk(scalar(z{{{OURS}}}), x{{{OURS}}})"),
        ("count_values('v', x)", f'count_values("v", x{{{OURS}}})'),
        ("rate(x[5m] offset 1m)", f"rate(x{{{OURS}}}[5m] offset 1m)"),
        ("x @ end() offset -1m", f"x{{{OURS}}} @ end() offset -1m"),
        ("-(x)", f"-(x{{{OURS}}})"),
        ("absent(x)", f"absent(x{{{OURS}}})"),
        ("a * on(b) group_left(c) d", f"a{{{OURS}}} * on (b) group_left (c) d{{{OURS}}}"),
        ('label_replace(x, "o", "$1", "p", "(.*)")', f'label_replace(x{{{OURS}}}, "o", "$1", "p", "(.*)")'),
        ("x # } or y", f"x{{{OURS}}}"),
        ("x\n  # all\n", f"x{{{OURS}}}"),
        ("vector(1)", "vector(1)"),
    ],
)
def test_every_selector_is_bound(query, asked):
    assert bound(query) == asked


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("x{a='b\"} or secret{c=\"'}", "quotes and backslashes"),
        ('x{a=`b"} or secret #`}', "quotes and backslashes"),
        (r'x{a="\U00000022} or secret{b=\U00000022"}', "quotes and backslashes|parse error"),
        (r'x{a="\x22} or secret"}', "quotes and backslashes|parse error"),
        (r"x{a=~`\d`}", r"write \[.\]|parse error"),
        ('label_replace(x, "a", "\'", "b", "c")', "quotes and backslashes"),
        ('{"x\'y"}', "quotes and backslashes"),
        ('{a="b" or c="d"}', "`or` between label matchers"),
        ('x{a="b" or c="d"}', "parse error|`or`"),
        ("info(x)", r"info\(\) is not allowed"),
        ('info(x, {__name__="secret"})', r"info\(\) is not allowed"),
        ("max_over_time(x[1h:1s])", "subqueries"),
        ("max_over_time(x[2h])", "an hour at most"),
        ("x) or (y", "parse error"),
        ("(" * 1000 + "x" + ")" * 1000, "nested"),
        ("-" * 2000 + "x", "too many operators"),
        ("x" + "+x" * 1000, "too many operators"),
        ("x" + " or x" * 300, "parts|operators"),
        ("x" + " * x" * 600, "parts|operators"),
        ("x" + " == x" * 600, "parts|operators|chain"),
        ('x{a="b"} keep_metric_names', "parse error"),
        ("WITH (f = secret) f", "parse error"),
        ("", "parse error"),
        ("#", "parse error"),
    ],
)
@pytest.mark.timeout(60)
def test_what_cannot_be_bound_is_refused_in_words(query, words):
    with pytest.raises(TerminalError, match=words) as caught:
        bound(query)
    assert "analysis.prometheus.requests" in caught.value.message


def test_a_label_that_cannot_be_written_binds_nothing():
    with pytest.raises(TerminalError, match="cannot be written down safely"):
        scoped("x", (("organization", 'a"} or secret{b="'),), "k")


PIECES = st.sampled_from(
    ["x", "{", "}", "(", ")", '"', "'", "`", "\\", ",", "=", "=~", "!=", " or ", " and ", "[5m]", "[1h:]", " offset 1m",
     " @ 1", "#", "\n", "sum", " by ", "a", "organization_id", "o-1", "o-2", "1", "+", "-", "info", "__name__", ".+",
     "label_replace", "rate", "secret", "on", "é", "\\U00000022", "\x00"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60))
@settings(max_examples=by_depth(short=25, long=150), deadline=None)
def test_whatever_is_written_no_selector_is_asked_unbound(query):
    try:
        text = bound(query)
    except TerminalError:
        return
    selectors = []
    promql.walk(promql.parse(text), lambda node: selectors.append(node) or True)
    for selector in selectors:
        if isinstance(selector, promql.VectorSelector):
            found = {(m.name, m.value) for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal}
            assert found >= set(LABELS)
