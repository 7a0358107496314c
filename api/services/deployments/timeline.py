"""What a deployment went through: its samples, what happened, whom it waited for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.lifecycle import FINISHED_DEPLOYMENTS
from domain.timeline import Kind, Wait, waits_of
from runtime.ids import now
from storage.models import AuditEntry, Deployment, TimelineEntry
from storage.repositories.audit import MAX_ENTRIES, AuditRepository
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.outcomes import SYSTEM
from storage.repositories.timeline import MAX_NOTES, TimelineRepository
from storage.tenancy import Tenant

DECIDED = "deployment.decided"


@dataclass(frozen=True)
class Happening:
    """Something that happened at a moment; what does not belong to its kind is None.

    Attributes:
        kind: "status", "weight", "verdict" or "decision".
        status, before: of a status: the state that it went to, and the one it was in.
        weights: of a weight: percent of the traffic by release.
        analysis, verdict, reasons: of a verdict.
        action, actor, reason, outcome: of a decision; `outcome` None: nobody knows yet.
    """

    at: datetime
    kind: str
    status: str | None = None
    before: str | None = None
    weights: Mapping[str, int] | None = None
    analysis: str | None = None
    verdict: str | None = None
    reasons: Sequence[str] | None = None
    action: str | None = None
    actor: str | None = None
    reason: str | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class Timeline:
    """All of it, oldest first; `truncated`: older events are left out."""

    deployment: Deployment
    samples: Sequence[TimelineEntry]
    events: Sequence[Happening]
    waits: Sequence[Wait]
    truncated: bool


async def timeline_of(session: AsyncSession, tenant: Tenant, deployment_id: UUID) -> Timeline:
    """The timeline of a deployment.

    Raises:
        NotFoundError: it does not exist, or not for this tenant.
    """
    row = await DeploymentRepository(session, tenant).get(deployment_id)
    entries = TimelineRepository(session)
    notes, samples = await entries.notes(row.id), await entries.samples(row.id)
    decisions = await AuditRepository(session, tenant).of(row.id)
    events = sorted([*map(_noted, notes), *_decided(decisions)], key=lambda event: event.at)
    moves = [(note.at, note.data["to"]) for note in notes if note.kind == Kind.STATUS]
    going_on = None if row.status in FINISHED_DEPLOYMENTS else now()
    truncated = len(notes) >= MAX_NOTES or len(decisions) >= MAX_ENTRIES
    return Timeline(row, samples, events, waits_of(moves, going_on), truncated)


def _noted(note: TimelineEntry) -> Happening:
    data = note.data
    match note.kind:
        case Kind.STATUS:
            return Happening(note.at, note.kind, status=data["to"], before=data["from"])
        case Kind.WEIGHT:
            return Happening(
                note.at, note.kind, weights={each["release_id"]: each["weight"] for each in data["targets"]}
            )
        case _:
            told = {name: data[name] for name in ("analysis", "verdict", "reasons")}
            return Happening(note.at, note.kind, **told)


def _decided(entries: Sequence[AuditEntry]) -> list[Happening]:
    """What people asked for, each with what came of it."""
    outcomes = {
        each.details.get("intent_id"): each.details.get("outcome") for each in entries if each.action == DECIDED
    }
    return [
        Happening(
            each.occurred_at,
            "decision",
            action=each.action.removeprefix("deployment."),
            actor=each.actor,
            reason=each.reason,
            outcome=outcomes.get(str(each.id)),
        )
        for each in entries
        # What the system noted of a deployment is its states, which are told already.
        if each.action != DECIDED and each.actor != SYSTEM and each.resource_type == "deployment"
    ]
