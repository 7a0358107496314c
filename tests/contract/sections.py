"""The contract's sections, and the tests that show each of them on the running API; printed as a table at the end."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from tests.contract.later import LATER
from tests.contract.parsing import endpoints, text

_HEADING = re.compile(r"^#{3,4} (?:\d+\. )?(.+)$", re.MULTILINE)
# Sections without an endpoint of their own: names of tests of this folder. An endpoint's are those that run for it.
SHOWN_BY: Mapping[str, tuple[str, ...]] = {
    "Authentication Methods": ("test_callers_have_a_token_or_a_key", "test_tokens_come_by_the_three_flows"),
    "JWT Token Format": ("test_tokens_have_the_claims_of_the_contract",),
    "Authorization Scopes": ("test_every_scope_of_the_contract_is_known",),
    "Standard Response Structure": ("test_answers_have_the_standard_envelope",),
    "Paginated Response": ("test_pages_have_the_pagination_of_the_contract",),
    "Error Response": ("test_errors_have_the_envelope_of_the_contract",),
    "Standard HTTP Status Codes": ("test_every_error_status_of_the_contract_is_documented",),
    "Application Error Codes": ("test_every_error_code_of_the_contract_has_its_status",),
    "Rate Limit Headers": ("test_answers_say_what_is_left_of_the_plan",),
    "Rate Limit Error Response": ("test_who_asks_too_often_gets_the_contracts_answer",),
    "API Versioning": ("test_the_version_is_the_first_part_of_the_path",),
    "Deprecation Headers": ("test_what_is_deprecated_says_so_by_headers",),
    "Long-Running Operations": ("test_the_example_works_as_it_stands",),
    "Supported Events": ("test_webhooks_are_made_for_every_event_of_the_contract",),
    "Webhook Request Format": ("test_a_webhook_has_the_body_of_the_contract",),
    "Webhook Signature Verification": ("test_a_receiver_verifies_as_the_contract_says",),
    "SDK Support": ("test_the_sdks_are_called_as_the_contract_says",),
    "Python SDK Example": ("test_the_python_example_runs_as_it_stands",),
    "OpenAPI Specification": ("test_the_openapi_document_begins_as_the_contract_has_it",),
    "Interactive API Documentation": ("test_the_documents_are_served",),
}


def headings() -> list[str]:
    """Every section that has no sections of its own; those that only group endpoints are left out."""
    found = [name for name in _HEADING.findall(text()) if name not in _groups()]
    assert {endpoint.name for endpoint in endpoints() if endpoint.summary} <= set(found)
    return found


def sections_of(test: str, endpoint: str | None) -> list[str]:
    """The sections that a test shows, by its function's name and the endpoint it runs for."""
    named = [heading for heading, tests in SHOWN_BY.items() if test in tests]
    if endpoint is None:
        return named
    if endpoint in headings():
        return [endpoint]
    return named


def table(passed: Iterable[tuple[str, bool]]) -> Iterator[str]:
    """A line a section that something ran for.

    Args:
        passed: section, and whether a test of it passed.
    """
    seen: defaultdict[str, list[bool]] = defaultdict(list)
    for section, good in passed:
        seen[section].append(good)
    for heading in headings():
        later = [f"{one.what} (issue {one.issue})" for one in LATER if heading in one.sections]
        if seen[heading] or later:
            yield f"  {heading:48} {_words(seen[heading], later)}"


def _words(results: list[bool], later: list[str]) -> str:
    if not all(results):
        return "DOES NOT WORK"
    if not results:
        return f"not yet: {', '.join(later)}"
    return f"works, but for: {', '.join(later)}" if later else f"works ({len(results)} tests)"


def _groups() -> set[str]:
    """Sections with smaller ones below."""
    found = re.findall(r"^### (?:\d+\. )?([^\n]+)\n+#### ", text(), re.MULTILINE)
    return set(found)
