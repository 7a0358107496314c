"""Metrics of an organization, or of all: totals and a series, from what all processes stored."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from api.auth.principal import Principal
from api.http.envelope import Prepared
from api.schemas.metrics import MetricFigures, MetricPoint, MetricsView
from domain.errors import ForbiddenError
from domain.metric_counts import Counts, Figures
from domain.metric_windows import Aggregation, TimeRange, Window, beginning
from runtime.single_flight import SharedAnswers
from storage.engine import Sessions, transaction
from storage.repositories.metrics import MetricsRepository, Step
from storage.tenancy import PLATFORM, Tenant

KEEP_S = 1.0
# Answers may have two thousand points.
MOST_KEPT = 50
NOTHING = Figures.of(Counts())
Asked = tuple[Tenant, TimeRange, Aggregation]


@dataclass(frozen=True)
class Told:
    """What is known of a window: the totals, and steps of the series that anything is known of."""

    total: Counts
    steps: Mapping[datetime, Step]


class MetricsReader:
    """Whoever asks for the same within a second gets the same answer, and costs nothing.

    Args:
        sessions: of the database.
        keep_s: seconds that an answer is kept.
    """

    def __init__(self, sessions: Sessions, *, keep_s: float = KEEP_S) -> None:
        self._sessions = sessions
        self._answers: SharedAnswers[Asked, Prepared] = SharedAnswers(self._read, keep_s=keep_s, max_keys=MOST_KEPT)

    async def of(self, principal: Principal, time_range: TimeRange, aggregation: Aggregation) -> Prepared:
        """A `MetricsView`: of all for platform admins, else of the caller's organization.

        Raises:
            ForbiddenError: the caller belongs to no organization.
            DependencyError: the database does not answer.
        """
        if not principal.is_platform_admin and principal.organization_id is None:
            raise ForbiddenError("metrics are an organization's, and you are in none")
        return await self._answers.get((principal.tenant, time_range, aggregation))

    async def _read(self, asked: Asked) -> Prepared:
        tenant, time_range, aggregation = asked
        async with transaction(self._sessions) as session:
            metrics = MetricsRepository(session, tenant)
            window = Window.of(time_range, aggregation, await metrics.now())
            told = await _told(metrics, window)
            if tenant != PLATFORM:
                told = _with_machines(told, await _told(MetricsRepository(session, PLATFORM), window))
        view = MetricsView(
            timestamp=window.until,
            time_range=time_range,
            aggregation=aggregation,
            organization_id=tenant.organization_id,
            metrics=MetricFigures(**asdict(Figures.of(told.total))),
            series=[_point(at, told.steps.get(at)) for at in window.steps()],
        )
        return Prepared.of(view)


async def _told(metrics: MetricsRepository, window: Window) -> Told:
    """Rollups, and what is not rolled up yet added to them."""
    late = await metrics.increments(window.first_step, window.until)
    total = await metrics.total(window.precision, window.since, window.until)
    fresh = beginning(min(late, default=window.until), window.step)
    steps = await metrics.steps(window.step, window.first_step, window.until, fresh=fresh)
    for minute, counts in late.items():
        if minute >= window.since:
            total.add(counts)
        at = beginning(minute, window.step)
        step = steps.setdefault(at, Step(Counts(), None))
        step.counts.add(counts)
    return Told(total, steps)


def _with_machines(told: Told, of_all: Told) -> Told:
    """Processors and memory are those of the machines that serve everybody: members are told of them, too."""
    nothing = Counts()
    told.total.take_use(of_all.total)
    steps = {at: told.steps.get(at, Step(Counts(), None)) for at in {*told.steps, *of_all.steps}}
    for at, step in steps.items():
        step.counts.take_use(of_all.steps[at].counts if at in of_all.steps else nothing)
    return Told(told.total, steps)


def _point(at: datetime, step: Step | None) -> MetricPoint:
    figures = Figures.of(step.counts, step.percentiles) if step else NOTHING
    return MetricPoint(timestamp=at, **asdict(figures))
