"""What earlier runs say about how long an operation takes: looked up once for many pollers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts.operations import Progress, StepProgress
from domain.eta import RUNS_LEARNED_FROM, Seconds, eta_seconds, typical_seconds
from runtime.ids import now
from runtime.single_flight import SharedAnswers
from storage.engine import Sessions, transaction
from storage.models import Operation
from storage.repositories.operations import OperationRepository
from storage.tenancy import PLATFORM

KEPT_S = 1.0


@dataclass(frozen=True)
class Like:
    """Operations that are alike take alike long."""

    project_id: UUID
    environment: str | None
    kind: str


class Learned:
    """Typical times by project, environment and kind, kept a second."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._answers: SharedAnswers[Like, Seconds | None] = SharedAnswers(self._look, keep_s=KEPT_S, max_keys=1000)

    async def eta(self, row: Operation, progress: Progress) -> int | None:
        """Expected remaining seconds of machine time; None with too few finished runs to compare with."""
        typical = await self._answers.get(Like(row.project_id, row.environment, row.kind))
        return eta_seconds(progress.status, progress.steps, typical, now())

    async def _look(self, like: Like) -> Seconds | None:
        async with transaction(self._sessions) as session:
            runs = await OperationRepository(session, PLATFORM).completed_steps(
                project_id=like.project_id, environment=like.environment, kind=like.kind, limit=RUNS_LEARNED_FROM
            )
        return typical_seconds([_steps(run) for run in runs], now())


def _steps(stored: Sequence[Any]) -> list[StepProgress]:
    return [StepProgress.model_validate(step) for step in stored]
