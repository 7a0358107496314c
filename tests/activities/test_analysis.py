"""The activity that judges, with a real database and figures from a real Prometheus, or from a source that fails."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.analysis import AnalysisActivities
from contracts.analysis import AnalyseRelease, AnalysisReport
from domain.canary.counts import SideCounts
from domain.canary.metric_source import MetricSource
from domain.canary.policy import AnalysisPolicy
from domain.canary.state import JudgeState
from domain.canary.verdict import Verdict
from domain.errors import DependencyError, TerminalError
from drivers.metrics.prometheus import PrometheusMetrics
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Deployment, Environment, Operation, Organization, Project
from storage.repositories.analyses import AnalysisRepository
from storage.repositories.timeline import TimelineRepository
from tests.support.exposition import QUERIES, Exposition, exporting
from tests.support.prometheus import PrometheusServer, running_prometheus

PROMETHEUS = AnalysisPolicy.model_validate(
    {
        "provider": "prometheus",
        "prometheus": QUERIES,
        "duration": 60,
        "min_requests": 50,
        "min_effect": 4,
        "compare": ["errors"],
        "error_limit": 1,
        "pass_early": True,
    }
)


@pytest.fixture
async def deployment(sessions: Sessions) -> UUID:
    """A deployment that shows its analysis."""
    organization, project, environment, operation, deployment = (new_id() for _ in range(5))
    shared = {"organization_id": organization, "project_id": project}
    rows = [
        Organization(id=organization, name="Acme", slug=str(organization), host_label=str(organization)),
        Project(id=project, organization_id=organization, name="S", slug="s", host_label="s", repository_url="x"),
        Environment(id=environment, **shared, name="dev", host=f"{environment}.localhost"),
        Operation(id=operation, **shared, kind="deploy", resource_id=deployment, requested_by="me"),
        Deployment(
            id=deployment,
            **shared,
            environment_id=environment,
            operation_id=operation,
            environment="dev",
            deployment_strategy="canary",
            requested_by="me",
        ),
    ]
    async with transaction(sessions) as session:
        for row in rows:
            session.add(row)
            await session.flush()
    return deployment


def request_for(deployment: UUID, policy: AnalysisPolicy) -> AnalyseRelease:
    return AnalyseRelease(
        deployment_id=deployment, release_id=new_id(), stable_id=new_id(), key="step-1-1", policy=policy, weight=10
    )


async def shown(sessions: Sessions, deployment: UUID) -> dict:
    async with transaction(sessions) as session:
        return (await session.get(Deployment, deployment)).analysis


async def has_counted(sessions: Sessions, deployment: UUID) -> None:
    """Until the analysis has seen requests of the canary."""
    while True:
        async with transaction(sessions) as session:
            known = await AnalysisRepository(session).get(deployment, "step-1-1")
        if known and JudgeState.model_validate(known.state).canary.total.requests:
            return
        await asyncio.sleep(0.05)


@dataclass
class Scripted:
    """A source that gives what it is told, then counts upwards."""

    script: list[DependencyError | TerminalError | None]
    reads: list[list[str]] = field(default_factory=list)

    async def read(
        self, release_ids: Sequence[str], _policy: AnalysisPolicy, _place: object, /
    ) -> Mapping[str, SideCounts]:
        self.reads.append(list(release_ids))
        if self.script and (fault := self.script.pop(0)):
            raise fault
        return {release: SideCounts(requests=100_000 * len(self.reads)) for release in release_ids}


async def analyse(sessions: Sessions, source: Scripted, request: AnalyseRelease) -> AnalysisReport:
    activities = AnalysisActivities(sessions, {request.policy.provider: source}, retry_every_s=0.01)
    return await ActivityEnvironment().run(activities.analyse, request)


async def test_a_source_that_fails_is_asked_again_and_the_analysis_ends_inconclusive(sessions, deployment):
    source = Scripted([DependencyError("the scraper is on fire")] * 99)
    request = request_for(deployment, AnalysisPolicy())
    report = await analyse(sessions, source, request)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reasons == (
        "the metrics could not be measured 5 times in a row (4 are accepted): the scraper is on fire",
    )
    assert source.reads == [[str(request.release_id), str(request.stable_id)]] * 5
    analysis = await shown(sessions, deployment)
    assert (analysis["final"], analysis["unmeasured"], analysis["weight"]) == (True, 5, 10)
    assert analysis["reasons"] == list(report.reasons)


async def test_only_failures_in_a_row_count(sessions, deployment):
    fault = DependencyError("away")
    policy = AnalysisPolicy(compare=("errors",), error_limit=2, pass_early=True)
    report = await analyse(sessions, Scripted([fault, fault, None, fault, fault]), request_for(deployment, policy))
    assert report.verdict is Verdict.PASS


async def test_each_look_and_the_verdict_are_on_the_timeline_once(sessions, deployment):
    policy = AnalysisPolicy(compare=("errors",), error_limit=2, pass_early=True)
    request = request_for(deployment, policy)
    for _ in range(2):  # the activity is tried again after its end
        await analyse(sessions, Scripted([None, DependencyError("away"), None]), request)
    async with transaction(sessions) as session:
        timeline = TimelineRepository(session)
        samples, notes = await timeline.samples(deployment), await timeline.notes(deployment)
    assert 1 <= len(samples) <= 8
    last = samples[-1].data
    assert (last["analysis"], last["weight"], last["verdict"]) == ("step-1-1", 10, "pass")
    assert last["canary"]["requests"] >= 100_000
    assert {"requests", "errors", "error_rate_percent", "p50_ms", "p95_ms", "p99_ms"} == last["stable"].keys()
    assert {"metric", "finding", "evidence", "limit"} == last["evidence"][0].keys()
    assert [(note.kind, note.data["verdict"]) for note in notes] == [("verdict", "pass")]


async def test_what_no_later_look_can_measure_ends_it_at_once(sessions, deployment):
    source = Scripted([TerminalError("nobody understands the query")])
    report = await analyse(sessions, source, request_for(deployment, AnalysisPolicy()))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reasons == ("the metrics cannot be measured: nobody understands the query",)
    assert len(source.reads) == 1
    assert (await shown(sessions, deployment))["final"]


async def test_without_a_prometheus_it_is_said_who_can_name_one(sessions, deployment):
    provider = PrometheusMetrics("")
    activities = AnalysisActivities(sessions, {MetricSource.PROMETHEUS: provider})
    report = await ActivityEnvironment().run(activities.analyse, request_for(deployment, PROMETHEUS))
    await provider.close()
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "DELIVERY_PROMETHEUS_URL" in (await shown(sessions, deployment))["reasons"][0]


class Rig:
    """A Prometheus, what it scrapes, and traffic on two releases."""

    def __init__(self, sessions: Sessions, exposition: Exposition, server: PrometheusServer) -> None:
        self._sessions = sessions
        self._exposition = exposition
        self._provider = PrometheusMetrics(server.url, trusted=True, limit_s=60)
        self.server = server

    async def analyse(self, request: AnalyseRelease) -> AnalysisReport:
        activities = AnalysisActivities(self._sessions, {MetricSource.PROMETHEUS: self._provider}, retry_every_s=0.1)
        return await ActivityEnvironment().run(activities.analyse, request)

    @asynccontextmanager
    async def traffic(self, request: AnalyseRelease, *, bad_of_ten: int = 0) -> AsyncIterator[None]:
        """Some 1000 requests a second to each side, until the body ends."""

        async def flow() -> None:
            while True:
                self._exposition.serve(str(request.stable_id), 10)
                self._exposition.serve(str(request.release_id), 10, errors=bad_of_ten)
                await asyncio.sleep(0.01)

        task = asyncio.create_task(flow())
        try:
            yield
        finally:
            task.cancel()

    async def close(self) -> None:
        await self._provider.close()


@pytest.fixture(scope="module")
async def rig(sessions: Sessions, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with exporting() as exposition, running_prometheus(folder, exposition.port) as server:
        made = Rig(sessions, exposition, server)
        yield made
        await made.close()


async def test_a_canary_that_fails_one_request_in_five_is_stopped_naming_the_metric(rig, sessions, deployment):
    request = request_for(deployment, PROMETHEUS)
    async with asyncio.timeout(120), rig.traffic(request, bad_of_ten=2):
        report = await rig.analyse(request)
    assert report.verdict is Verdict.FAIL
    assert report.reasons[0].startswith("error rate: canary 20 %")
    assert "the canary fails more often" in report.reasons[0]
    (errors,) = (await shown(sessions, deployment))["metrics"]
    assert errors["evidence"] >= errors["limit"]
    assert errors["stable"]["requests"] > 0


async def test_a_good_one_passes_early(rig, sessions, deployment):
    request = request_for(deployment, PROMETHEUS)
    async with asyncio.timeout(120), rig.traffic(request):
        report = await rig.analyse(request)
    assert report.verdict is Verdict.PASS
    assert (await shown(sessions, deployment))["elapsed_seconds"] < PROMETHEUS.duration


async def test_latency_is_judged_by_the_buckets_of_the_service(rig, sessions, deployment):
    policy = PROMETHEUS.model_copy(update={"compare": ("errors", "latency"), "max_p95_ms": 5.0})
    request = request_for(deployment, policy)
    async with asyncio.timeout(120), rig.traffic(request):  # which takes 10 ms
        report = await rig.analyse(request)
    assert report.verdict is Verdict.FAIL
    assert any("p95" in reason for reason in report.reasons)


async def test_prometheus_killed_in_the_middle_ends_it_inconclusive_and_says_so(rig, sessions, deployment):
    request = request_for(deployment, PROMETHEUS.model_copy(update={"pass_early": False}))
    async with asyncio.timeout(120), rig.traffic(request):
        analysis = asyncio.create_task(rig.analyse(request))
        await has_counted(sessions, deployment)
        rig.server.kill()
        report = await analysis
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "could not be measured 2 times in a row (1 are accepted): Prometheus cannot be asked" in report.reasons[0]
    assert (await shown(sessions, deployment))["reasons"] == list(report.reasons)
