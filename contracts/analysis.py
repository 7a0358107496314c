"""Analysis: a new release is judged against the stable one while both take traffic."""

from uuid import UUID

from contracts.payload import BoundedText, Payload
from contracts.policies import ANALYSIS
from contracts.stubs import ActivityStub
from domain.canary.policy import AnalysisPolicy
from domain.canary.verdict import Verdict


class AnalyseRelease(Payload):
    """Judge a release for at most `policy.duration` seconds.

    `key` names this analysis of the deployment: tried again after a crash it goes on from its stored state, so that
    neither evidence nor the risk of a wrong verdict is counted twice.
    """

    deployment_id: UUID
    release_id: UUID
    stable_id: UUID | None
    key: str
    policy: AnalysisPolicy
    held_seconds: float = 0.0  # how long people held this analysis so far: that is no time of watching
    weight: int | None = None  # percent of the traffic that the release has meanwhile, for people to see


class AnalysisReport(Payload):
    """The verdict with its reasons; all figures stand in the deployment's `analysis`."""

    verdict: Verdict
    reasons: tuple[BoundedText, ...]
    passed_early_after: float | None = None  # seconds; None: it was watched to its end


ANALYSE_RELEASE = ActivityStub("analysis.judge", AnalyseRelease, AnalysisReport, ANALYSIS)
