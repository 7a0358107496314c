"""Analysis: compare a new release with the stable one while both receive traffic."""

from uuid import UUID

from contracts.payload import BoundedText, Payload
from contracts.policies import ANALYSIS
from contracts.stubs import ActivityStub
from domain.canary.policy import AnalysisPolicy
from domain.canary.verdict import Verdict


class AnalyseRelease(Payload):
    """Judge a release for at most `policy.duration` seconds.

    `key` names this analysis of the deployment: a retry after a crash resumes from the stored state, so that neither
    evidence nor error probability is counted twice.
    """

    deployment_id: UUID
    release_id: UUID
    stable_id: UUID | None
    key: str
    policy: AnalysisPolicy
    held_seconds: float = 0.0  # seconds that people have paused this analysis so far; they do not count as observation
    weight: int | None = None  # percent of the traffic that the release receives meanwhile, for display


class AnalysisReport(Payload):
    """The verdict with its reasons. All figures are in the deployment's `analysis`."""

    verdict: Verdict
    reasons: tuple[BoundedText, ...]
    passed_early_after: float | None = None  # seconds; None: it ran to its end


ANALYSE_RELEASE = ActivityStub("analysis.judge", AnalyseRelease, AnalysisReport, ANALYSIS)
