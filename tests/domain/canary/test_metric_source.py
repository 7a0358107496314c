"""The provider in delivery.yaml, and its queries."""

from pathlib import Path

import pytest

from domain.canary.metric_source import MAX_QUERY, MetricSource
from domain.delivery_spec_loader import parse_delivery
from domain.errors import TerminalError

QUERIES = """\
analysis:
  provider: prometheus
  compare: [errors]
  prometheus:
    requests: sum(http_requests_total{delivery_release="{{release}}"})
    errors: sum(http_requests_total{delivery_release="{{release}}",status=~"5.."})
"""
BUCKETS = "    latency_buckets: sum by (le) (x_bucket{delivery_release='{{release}}'})\n"


def faults(text: str) -> str:
    with pytest.raises(TerminalError) as caught:
        parse_delivery(text)
    return caught.value.message


def test_the_router_counts_unless_something_else_is_said():
    assert parse_delivery("").analysis.provider is MetricSource.ROUTER
    assert parse_delivery("analysis: {provider: router}").analysis.prometheus is None


def test_prometheus_with_its_queries():
    policy = parse_delivery(QUERIES).analysis
    assert policy.provider is MetricSource.PROMETHEUS
    assert set(policy.prometheus.given()) == {"requests", "errors"}
    assert set(parse_delivery(QUERIES + BUCKETS).analysis.prometheus.given()) == {
        "requests",
        "errors",
        "latency_buckets",
    }


@pytest.mark.parametrize(
    "text",
    ["analysis: {provider: prometheus}", QUERIES.replace("  provider: prometheus\n", "")],
    ids=["no queries", "no provider"],
)
def test_one_without_the_other_is_a_fault(text):
    assert "belong together" in faults(text)


@pytest.mark.parametrize("limit", ["  compare: [errors, latency]\n", "  compare: [errors]\n  max_p95_ms: 5\n"])
def test_latency_is_not_judged_without_buckets(limit):
    text = QUERIES.replace("  compare: [errors]\n", limit)
    assert "prometheus.latency_buckets does not say where it is" in faults(text)
    assert parse_delivery(text + BUCKETS).analysis.prometheus.latency_buckets


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sum(http_requests_total)", "must contain {{release}}"),
        ("sum(x{a='{{ release }}'})", "must contain {{release}}"),
        ("sum(x{a='{{release}}', b='{{environment}}'})", "only {{release}} is replaced"),
        ("sum(x{a='{{release}}'})" + " " * MAX_QUERY, "at most 2048"),
        ("7", "must be text"),
    ],
)
def test_each_query_is_about_one_release(query, words):
    text = f"analysis:\n  prometheus:\n    requests: {query if query == '7' else chr(34) + query + chr(34)}\n"
    message = faults(text)
    assert "delivery.yaml:3:5: analysis.prometheus.requests: " in message
    assert words in message


def test_the_example_in_the_docs_is_valid():
    page = (Path(__file__).parents[3] / "docs" / "canary-judge.md").read_text()
    example = next(block for block in page.split("```yaml\n")[1:] if "provider: prometheus" in block)
    assert len(parse_delivery(example.partition("```")[0]).analysis.prometheus.given()) == 4


def test_the_server_is_none_of_the_repositorys_business():
    assert "analysis.prometheus.url: unknown key" in faults(QUERIES + "    url: http://169.254.169.254/\n")
