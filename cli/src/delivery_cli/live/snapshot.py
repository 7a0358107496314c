"""One look at a delivery: its operation, its deployment, its timeline and its environment, all of the same moment."""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from delivery_cli.exits import Exit
from delivery_cli.run import plain

if TYPE_CHECKING:
    from ai_agents import Client

Json = dict[str, Any]

WAITS_FOR_PEOPLE: Final = frozenset({"awaiting_approval", "paused"})
TAKEN_BACK: Final = frozenset({"rolling_back", "rolled_back"})


@dataclass(frozen=True)
class Snapshot:
    """What the view is drawn from. All but `deployment` may be missing."""

    deployment: Json
    operation: Json
    timeline: Json
    environment: Json

    @property
    def done(self) -> bool:
        """Whether nothing more comes."""
        return bool(self.operation.get("done"))

    @property
    def status(self) -> str:
        """The deployment's, but that of its operation where that has ended without it."""
        status = str(self.deployment["status"])
        if self.done and status in {"pending", "queued", "in_progress"}:
            return str(self.operation["status"])
        return status

    @property
    def waits_for_people(self) -> bool:
        """Whether somebody must decide before it goes on."""
        return not self.done and self.status in WAITS_FOR_PEOPLE

    @property
    def exit_code(self) -> Exit:
        """How a command that reports this state ends."""
        if self.status in {"rolled_back", "rolling_back"}:
            return Exit.ROLLED_BACK
        if self.waits_for_people:
            return Exit.WAITING
        return Exit.FAILED if self.status in {"failed", "cancelled", "superseded", "rejected"} else Exit.DONE

    @property
    def weight(self) -> int | None:
        """The percentage of the traffic that the new version has now; None before it has any."""
        mine = str(self.deployment["id"])
        for event in reversed(self.timeline.get("events", ())):
            if event["kind"] == "weight" and event["weights"] is not None:
                return int(event["weights"].get(mine, 0))
        return None

    @property
    def wanted(self) -> int | None:
        """What it shall have next: 0 on the way back, 100 once it has passed; None where nobody has said so."""
        if self.status in TAKEN_BACK:
            return 0
        if self.status == "success":
            return 100
        if (weight := _percent(self.operation.get("current_step") or "")) is not None:
            return weight
        return self.weight if self.weight is not None else self.deployment.get("canary_percentage")

    @property
    def sample(self) -> Json | None:
        """The newest measurement of its analysis."""
        samples = self.timeline.get("samples") or [None]
        last: Json | None = samples[-1]
        return last


def _percent(step: str) -> int | None:
    """`Sending 50 % of the traffic to the new version`: the only place that says the next weight before it is there."""
    head, _, rest = step.partition("Sending ")
    number = rest.partition(" %")[0]
    return int(number) if not head and number.isdigit() else None


class Watcher:
    """Takes snapshots; what cannot have changed is not asked for again."""

    def __init__(self, client: "Client", deployment: Json) -> None:
        self._client = client
        self._id = str(deployment["id"])
        self._last = Snapshot(deployment, {}, {}, {})

    def look(self, wait: int = 0) -> Snapshot:
        """The state now; with `wait`, at most so many seconds until the operation changes."""
        last = self._last
        operation_id = str(last.deployment["operation_id"])
        asked: Json = {"wait": wait} if wait else {}
        operation = plain(self._client.operations.get(operation_id=operation_id, **asked))
        deployment = plain(self._client.deployments.get(deployment_id=self._id))
        timeline = plain(self._client.deployments.timeline(deployment_id=self._id))
        environment = last.environment
        if not environment or deployment["status"] in {"queued", "awaiting_approval"} or operation["done"]:
            environment = plain(
                self._client.environments.get(project_id=deployment["project_id"], name=deployment["environment"])
            )
        self._last = replace(
            last, deployment=deployment, operation=operation, timeline=timeline, environment=environment
        )
        return self._last


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Between two times of the API; None if one is missing."""
    if not start or not end:
        return None
    return (moment(end) - moment(start)).total_seconds()


def moment(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


def rest(seconds: float) -> None:
    """A pause between two looks."""
    time.sleep(seconds)
