"""The events of webhooks: names and payloads, in the form in which the API shows the resource.

Builders take plain values (a row's columns by name), so that the API and the worker build the same payload from the
same row.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

from domain.facts import listed_error
from domain.lifecycle import FINISHED_OPERATIONS, OperationStatus
from domain.rollout_options import RolloutOptions
from domain.vulnerabilities import SEVERITY_OF_RANK, VulnerabilityStatus, status_at

MAX_PAYLOAD = 64 * 1024
# The length to which texts are cut when a payload is too large; other values are left out.
MAX_TEXT = 1000

Values = Mapping[str, Any]
Json = dict[str, Any]


class EventType(StrEnum):
    """The contract's seven events, and those that the resolutions add."""

    FEATURE_CREATED = "feature.created"
    FEATURE_STATUS_CHANGED = "feature.status_changed"
    TEST_COMPLETED = "test.completed"
    BUILD_COMPLETED = "build.completed"
    DEPLOYMENT_STARTED = "deployment.started"
    DEPLOYMENT_COMPLETED = "deployment.completed"
    DEPLOYMENT_APPROVAL_REQUESTED = "deployment.approval_requested"
    OPERATION_COMPLETED = "operation.completed"
    ENVIRONMENT_DEGRADED = "environment.degraded"
    INSTANCE_DISPLACED = "instance.displaced"
    VULNERABILITY_DETECTED = "vulnerability.detected"
    WEBHOOK_DISABLED = "webhook.disabled"


FEATURE = (
    *("id", "requirement_id", "project_id", "name", "description", "implementation_notes", "implementation_status"),
    *("blocked_reason", "complexity_points", "developer_id", "created_at", "updated_at"),
)
TEST_RESULT = (
    *("id", "test_case_id", "build_id", "status", "duration_ms", "error_message", "assertions_run"),
    *("assertions_passed", "assertions_failed", "code_coverage_percent", "logs", "recorded_by"),
    *("executed_at", "created_at"),
)
BUILD = (
    *("id", "feature_id", "project_id", "operation_id", "provenance", "build_number", "version_tag"),
    *("git_commit_hash", "git_branch", "status", "docker_image_url", "docker_image_size_bytes", "artifact_digest"),
    *("artifact_size_bytes", "tests_passed", "tests_failed", "tests_skipped", "code_coverage_percent"),
    *("security_scan_status", "started_at", "completed_at", "created_at", "updated_at"),
)
DEPLOYMENT = (
    *("id", "build_id", "project_id", "feature_id", "operation_id", "environment", "status", "deployment_strategy"),
    *("canary_percentage", "approval_notes", "request_approval", "reason", "version_tag", "git_branch"),
    *("git_commit_hash", "started_at", "completed_at", "health_check_status"),
    *("error_rate_percent", "performance_metrics", "analysis", "error", "retry_of", "superseded_by"),
    *("skip_analysis", "override_freeze", "next_open", "requested_by", "rollback_operation_id", "rollback_reason"),
    *("rolled_back_to_build_id", "rolled_back_at", "created_at", "updated_at"),
)
OPERATION = (
    *("kind", "status", "progress_percent", "current_step", "error", "resource_type", "resource_id", "project_id"),
    *("requested_by", "version", "cancel_requested_at", "created_at", "started_at", "completed_at"),
)
VULNERABILITY = (
    *("id", "project_id", "kind", "tool", "rule", "aliases", "cvss_score", "cvss_vector", "title", "description"),
    *("ecosystem", "package", "package_version", "fixed_versions", "links", "note", "triaged_by", "triaged_at"),
    *("first_build_id", "last_build_id", "last_seen_at", "detected_at", "reopened_at", "fixed_at"),
    *("created_at", "updated_at"),
)
STEP = ("name", "status", "started_at", "completed_at", "waited_seconds", "detail")
ENVIRONMENT = ("id", "project_id", "name", "host", "created_at", "updated_at")
RELEASE = ("deployment_id", "build_id", "state", "replicas")
SEVERITIES = ("critical", "high", "medium", "low", "unknown")


def event_id(moment: datetime, *parts: object, order: int = 0) -> UUID:
    """The id of an event that an activity writes again on a retry: the same for the same moment and parts.

    A UUIDv8 (RFC 9562) that begins like a UUIDv7 with the moment's milliseconds, so that ids sort by time; within one
    millisecond by `order` (0-4095).
    """
    digest = hashlib.sha256("/".join(map(str, (*parts, order))).encode()).digest()
    low = int.from_bytes(digest[:8], "big") >> 2
    time_and_order = int(moment.timestamp() * 1000) << 80 | 0x8 << 76 | (order & 0xFFF) << 64
    return UUID(int=time_and_order | 0x2 << 62 | low)


def feature_payload(feature: Values, *, previous_status: str | None = None) -> Json:
    """A feature; with `previous_status` also its old and new status, as the contract requires."""
    told = _told(feature, FEATURE)
    if previous_status is not None:
        told |= {"previous_status": previous_status, "current_status": _plain(feature["implementation_status"])}
    return _payload("feature", told)


def test_result_payload(result: Values) -> Json:
    """The result of a test case; `build_id`: the build whose tests were it."""
    return _payload("test_result", _told(result, TEST_RESULT))


def build_tests_payload(build: Values) -> Json:
    """All tests of a build as one result: `test_case_id` is null, and there are no durations.

    Each test counts as one assertion.
    """
    passed, failed = build["tests_passed"] or 0, build["tests_failed"] or 0
    told = dict.fromkeys(TEST_RESULT) | {
        "id": build["id"],
        "build_id": build["id"],
        "status": "failed" if failed else "passed",
        "assertions_run": passed + failed,
        "assertions_passed": passed,
        "assertions_failed": failed,
        "code_coverage_percent": build["code_coverage_percent"],
        "logs": [],
        "executed_at": build["completed_at"] or build["created_at"],
        "created_at": build["created_at"],
    }
    return _payload("test_result", _plain(told))


def build_payload(build: Values) -> Json:
    """A build, good or failed."""
    counts = (build["tests_passed"], build["tests_failed"])
    found = build["vulnerabilities"] or {}
    more = {
        **{f"vulnerabilities_{level}": found.get(level) for level in SEVERITIES},
        "tests_run": None if None in counts else sum(counts),
        "duration_seconds": _seconds(build),
    }
    return _payload("build", {**_told(build, BUILD), **more})


def deployment_payload(deployment: Values) -> Json:
    """A deployment, without its preview token, which only authorized callers get."""
    more = {
        "duration_seconds": _seconds(deployment),
        "error": listed_error(deployment["error"]),
        "preview": None,
    }
    chosen = RolloutOptions.model_validate(deployment["options"] or {}).model_dump()
    return _payload("deployment", {**_told({**chosen, **deployment}, DEPLOYMENT), **more})


def operation_payload(operation: Values) -> Json:
    """An operation that is finished, with its steps."""
    url = f"/deployments/{operation['resource_id']}"
    completed = operation["status"] == OperationStatus.COMPLETED
    more = {
        "operation_id": str(operation["id"]),
        "done": operation["status"] in FINISHED_OPERATIONS,
        "error": listed_error(operation["error"]),
        "eta_seconds": None,
        "temporal_ui_url": None,  # only for platform admins, never in events
        "trace_id": _trace_id(operation.get("traceparent")),
        "steps": [_plain({name: step.get(name) for name in STEP}) for step in operation["steps"]],
        "resource_url": url,
        "result_url": url if completed else None,
    }
    return _payload("operation", {**_told(operation, OPERATION), **more})


def _trace_id(traceparent: str | None) -> str | None:
    """The second field of a `traceparent` (W3C Trace Context)."""
    return traceparent.split("-")[1] if traceparent else None


def vulnerability_payload(found: Values, affected: Iterable[Values], moment: datetime) -> Json:
    """A vulnerability as it stands at a moment. `affected`: the live releases that have it."""
    return _payload("vulnerability", {**_told(found, VULNERABILITY), **vulnerability_more(found, affected, moment)})


def vulnerability_more(found: Values, affected: Iterable[Values], moment: datetime) -> Json:
    """What is made of several columns, or of other rows."""
    status = status_at(found["status"], found["suppressed_until"], moment)
    suppression = {"reason": found["suppression_reason"], "expires_at": _plain(found["suppressed_until"])}
    location = {"path": found["location_path"], "line": found["location_line"]}
    return {
        "severity": SEVERITY_OF_RANK[found["severity_rank"]].value,
        "status": status.value,
        "suppression": suppression if status is VulnerabilityStatus.SUPPRESSED else None,
        "location": location if found["location_path"] else None,
        "affected_releases": [_plain(dict(release)) for release in affected],
    }


def environment_payload(environment: Values, *, release: Values, build: Values, wanted: int, healthy: int) -> Json:
    """An environment whose live release has too few healthy instances."""
    current = {
        "release_id": str(release["id"]),
        **_told(release, RELEASE),
        **_told(build, ("build_number", "version_tag", "git_commit_hash")),
    }
    counts = {"instances_wanted": wanted, "instances_healthy": healthy}
    return _payload("environment", {**_told(environment, ENVIRONMENT), "current_release": current, **counts})


def displaced_payload(environment: Values, *, release: Values, instance_id: str, port_before: int, port: int) -> Json:
    """An environment with an instance that had to leave its port, since another process listens there."""
    told = {
        "instance_id": instance_id,
        "release_id": str(release["id"]),
        "deployment_id": str(release["deployment_id"]),
        "port_before": port_before,
        "port": port,
    }
    return _payload("environment", {**_told(environment, ENVIRONMENT), "displaced_instance": told})


def _told(values: Values, names: Iterable[str]) -> Json:
    return {name: _plain(values[name]) for name in names}


def _seconds(values: Values) -> int | None:
    started, ended = values["started_at"], values["completed_at"]
    return None if started is None or ended is None else max(0, round((ended - started).total_seconds()))


def _plain(value: Any) -> Any:
    """In the API's format: moments in UTC with a Z."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, UUID) else value


def _payload(noun: str, resource: Json) -> Json:
    """The resource under its noun, at most `MAX_PAYLOAD` bytes: the largest fields are cut, and named in `truncated`.

    The whole resource can be read by its URL.
    """
    room = MAX_PAYLOAD - len(noun) - 1000
    cut: list[str] = []
    for name in sorted(resource, key=lambda field: _size(resource[field]), reverse=True):
        if _size(resource) <= room:
            break
        value = resource[name]
        resource = {**resource, name: value[:MAX_TEXT] + "…" if isinstance(value, str) else None}
        cut.append(name)
    return {noun: {**resource, "truncated": cut} if cut else resource}


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
