"""What all tests of the API check by the way: every status that is answered is in the document."""

import pytest

from tests.api.documented import is_documented


@pytest.mark.parametrize(
    ("method", "path", "status", "documented"),
    [
        ("POST", "/v1/deployments/1/resume", 202, True),
        ("POST", "/v1/deployments/1/resume", 201, False),
        ("GET", "/v1/deployments/1", 202, False),
        ("DELETE", "/v1/deployments/1", 405, True),  # no such operation
        ("GET", "/v1/nonsense", 404, True),
    ],
)
def test_a_status_that_no_operation_documents_is_noticed(method, path, status, documented):
    assert is_documented(method, path, status) is documented
