"""What each code that ends an operation means, in a sentence, and whether the same request may succeed later.

The codes of HTTP errors have their sentences in `api/http/problem_details.py`.
"""

from collections.abc import Mapping
from typing import Final

from domain.errors import ErrorCode

MEANINGS: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.SOURCE_NOT_FOUND: "The repository does not exist, or cannot be read with the project's secrets",
    ErrorCode.SOURCE_REF_NOT_FOUND: "The branch or commit does not exist in the repository",
    ErrorCode.SOURCE_FORBIDDEN: "The repository's address or its protocol is not allowed here",
    ErrorCode.SOURCE_TOO_LARGE: "The sources pass the limit of their size",
    ErrorCode.SOURCE_PATH_NOT_FOUND: "The project's source path is no folder of the commit",
    ErrorCode.SPEC_INVALID: "delivery.yaml is not valid; file, line and key are named",
    ErrorCode.SPEC_MISSING: "There is no delivery.yaml in the commit",
    ErrorCode.SECRET_MISSING: "A secret that the service requires does not exist",
    ErrorCode.BUILD_FAILED: "A build command failed",
    ErrorCode.BUILD_TIMEOUT: "A build command took longer than its limit",
    ErrorCode.BUILD_OUTPUT_LIMIT: "A build command wrote more output than its limit",
    ErrorCode.BUILD_MEMORY_LIMIT: "A build command used more memory than its limit",
    ErrorCode.BUILD_PROCESS_LIMIT: "A build command started more processes than its limit",
    ErrorCode.BUILD_DISK_LIMIT: "A build command used more disk than its limit",
    ErrorCode.BUILD_ISOLATION_UNAVAILABLE: "This machine cannot isolate builds as it is told to",
    ErrorCode.TESTS_FAILED: "A test failed; the first one is named",
    ErrorCode.TEST_REPORT_INVALID: "A test report cannot be read, or is missing where a threshold needs it",
    ErrorCode.COVERAGE_TOO_LOW: "The coverage is below the limit of delivery.yaml",
    ErrorCode.SCAN_FAILED: "A scanner could not finish",
    ErrorCode.SCAN_POLICY_VIOLATED: "A scan found what the policy does not allow",
    ErrorCode.PROVENANCE_INVALID: "The build's provenance does not prove what it is about to be deployed",
    ErrorCode.ARTIFACT_EMPTY: "The build produced nothing to deploy",
    ErrorCode.ARTIFACT_TOO_LARGE: "The build's artifact passes the limit of its size",
    ErrorCode.ARTIFACT_INVALID: "The build's artifact is damaged or cannot be unpacked",
    ErrorCode.ARTIFACT_UNAVAILABLE: "The build's artifact is gone, or it could not be built from its commit",
    ErrorCode.VERSION_TAG_TAKEN: "Another build of the feature has this version tag",
    ErrorCode.INSTANCE_EXITED: "An instance ended by itself before it was healthy",
    ErrorCode.INSTANCE_UNHEALTHY: "An instance did not become healthy in time",
    ErrorCode.INSTANCE_WRONG_PORT: "An instance does not listen on 127.0.0.1 and its port",
    ErrorCode.INSTANCE_MEMORY_LIMIT: "An instance used more memory than its limit before it was healthy",
    ErrorCode.INSTANCE_PROCESS_LIMIT: "An instance started more processes than its limit before it was healthy",
    ErrorCode.INSTANCE_DISK_LIMIT: "An instance used more disk than its limit before it was healthy",
    ErrorCode.RELEASE_COMMAND_FAILED: "The release command failed; nothing of the new version was started",
    ErrorCode.NO_FREE_PORT: "No port is free for another instance",
    ErrorCode.ROUTE_REJECTED: "The proxy refused the new routes",
    ErrorCode.TRAFFIC_UNVERIFIED: "Traffic did not arrive at the new version",
    ErrorCode.PREVIEW_FAILED: "The preview of the new version did not answer as it should",
    ErrorCode.STABLE_UNHEALTHY: "The version that serves now is not healthy, so nothing can be compared with it",
    ErrorCode.ANALYSIS_FAILED: "The new version did worse than the old one and was taken back",
    ErrorCode.PROGRESS_DEADLINE_EXCEEDED: "A step of the rollout stood still for too long",
    ErrorCode.ROLLED_BACK: "The deployment was rolled back",
    ErrorCode.NOTHING_TO_ROLL_BACK: "There is no version to go back to",
    ErrorCode.CANCELLED: "Somebody cancelled it",
    ErrorCode.SUPERSEDED: "A newer deployment took its place",
    ErrorCode.DISK_FULL: "The disk of the machine is full",
    ErrorCode.ORCHESTRATION_LOST: "The engine lost the operation's state; check what runs, then try again",
}
# Nothing of the request has to change for it to succeed.
PASSING: Final = frozenset(
    {
        ErrorCode.RATE_LIMIT_EXCEEDED,
        ErrorCode.IDEMPOTENCY_IN_PROGRESS,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.SERVICE_UNAVAILABLE,
        ErrorCode.TIMEOUT,
        ErrorCode.SCAN_FAILED,
        ErrorCode.ARTIFACT_UNAVAILABLE,
        ErrorCode.NO_FREE_PORT,
        ErrorCode.ROUTE_REJECTED,
        ErrorCode.TRAFFIC_UNVERIFIED,
        ErrorCode.STABLE_UNHEALTHY,
        ErrorCode.SUPERSEDED,
        ErrorCode.DISK_FULL,
        ErrorCode.ORCHESTRATION_LOST,
    }
)
