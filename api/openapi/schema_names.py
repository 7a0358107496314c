"""Names of the schemas as client code reads them. The Python classes keep theirs.

The rule: `ProjectView` is `Project`, `ProjectPatch` is `ProjectUpdate`, `Envelope[ProjectView]` is `ProjectEnvelope`,
`PageEnvelope[ProjectView]` is `ProjectPage`, `Envelope[list[RoleView]]` is `RoleList`. Where that reads badly, because
the class's module said the rest, there is a line in `EXCEPTIONS`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from api.openapi.traversal import Json

EXCEPTIONS: Final[Mapping[str, str]] = {
    "AcceptedView": "AcceptedOperation",
    "ApplicationMade": "ApplicationWithSecret",
    "AttemptView": "WebhookAttempt",
    "CaseCreate": "TestCaseCreate",
    "CasePatch": "TestCaseUpdate",
    "CaseView": "TestCase",
    "DeliveryDetailView": "WebhookDeliveryDetail",
    "DeliveryStatus": "WebhookDeliveryStatus",
    "DeliveryView": "WebhookDelivery",
    "DisabledReason": "WebhookDisabledReason",
    "EndpointStatus": "WebhookStatus",
    "EvidenceView": "AnalysisEvidence",
    "FailureRateView": "ChangeFailureRate",
    "Finding": "AnalysisFinding",
    "FindingKind": "VulnerabilityKind",
    "FrequencyView": "DeploymentFrequency",
    "GivenResponse": "WebhookAttemptResponse",
    "Handover": "InvitationHandover",
    "HappeningView": "TimelineEvent",
    "InvitationMade": "InvitationWithToken",
    "KeptStatus": "KeptProjectStatus",
    "KeyStatus": "ApiKeyStatus",
    "LimitedEnvelope": "RateLimitedEnvelope",
    "LimitedMeta": "RateLimitedMeta",
    "LocationView": "SourceLocation",
    "LockView": "EnvironmentLock",
    "LoggedStep": "LogStepName",
    "MePatch": "CurrentUserUpdate",
    "MeView": "CurrentUser",
    "Metric": "AnalysisMetric",
    "OperationErrorView": "OperationFailure",
    "Plan": "OrganizationPlan",
    "PlatformEntryView": "PlatformAuditEntry",
    "PreviewView": "DeploymentPreview",
    "QueuedView": "QueuedDeployment",
    "ReplayRequest": "WebhookReplayRequest",
    "ReplayView": "WebhookReplay",
    "ResultCreate": "TestResultCreate",
    "ResultStatus": "TestResultStatus",
    "ResultView": "TestResult",
    "Role": "RoleName",
    "SampleView": "AnalysisSample",
    "SecondsView": "DurationStatistics",
    "SecretRotate": "WebhookSecretRotation",
    "SentRequest": "WebhookAttemptRequest",
    "ServiceAccountMade": "ServiceAccountWithSecret",
    "SideView": "AnalysisSide",
    "Step": "TestStepCreate",
    "StepName": "OperationStepName",
    "StepStatus": "OperationStepStatus",
    "Strategy": "DeploymentStrategy",
    "SuppressionOrder": "SuppressionRequest",
    "Trigger": "WebhookTrigger",
    "Verdict": "AnalysisVerdict",
    "Visibility": "ProjectVisibility",
    "WaitView": "TimelineWait",
    "WaitingView": "LeadTimeParts",
    "WebhookCreatedView": "WebhookWithSecret",
    "WebhookEvent": "WebhookEventType",
    "Window": "DeploymentWindow",
    "WindowKind": "DeploymentWindowKind",
    "WindowView": "DeploymentWindowState",
    # Two classes of one name, which FastAPI tells apart by their modules.
    "api__schemas__operations__StepView": "OperationStep",
    "api__schemas__test_cases__StepView": "TestStep",
}
_GENERIC = re.compile(r"(Page|Cursor)?Envelope_(list_)?(.+?)_+")


def name_schemas(document: Json) -> None:
    """Rename every schema, and what refers to it.

    Raises:
        ValueError: two would have one name, or a name tells a module of ours: `EXCEPTIONS` needs a line.
    """
    schemas = document["components"]["schemas"]
    names = {name: readable(name) for name in schemas}
    if len(set(names.values())) < len(names):
        raise ValueError(f"two schemas would have one name: {sorted(names.values())}")
    told = [name for name in names.values() if "_" in name or "-" in name]
    if told:
        raise ValueError(f"give these schemas a name in api/openapi/schema_names.py: {told}")
    document["components"]["schemas"] = {names[name]: schemas[name] for name in sorted(names, key=names.__getitem__)}
    _rename_references(document, names)


def readable(name: str) -> str:
    """The name in the document of a class of ours."""
    generic = _GENERIC.fullmatch(name)
    if generic is not None:
        kind, several, inner = generic.groups()
        return f"{readable(inner)}{kind or ('List' if several else 'Envelope')}"
    if name in EXCEPTIONS:
        return EXCEPTIONS[name]
    if name[:1].islower() and not name.startswith("api__"):  # `dict_str__str`, which no class is called
        return "".join(word.capitalize() for word in name.split("_"))
    return re.sub("Patch$", "Update", name.removesuffix("View"))


def _rename_references(node: Any, names: Mapping[str, str]) -> None:
    if isinstance(node, list):
        for inner in node:
            _rename_references(inner, names)
    elif isinstance(node, dict):
        for inner in node.values():
            _rename_references(inner, names)
        reference = node.get("$ref")
        if isinstance(reference, str):
            head, _, name = reference.rpartition("/")
            node["$ref"] = f"{head}/{names[name]}" if head.endswith("/schemas") else reference
