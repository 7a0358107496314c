"""Passes of reconcilers, for tests that look at the world between them."""

import asyncio
from collections.abc import Sequence

from activities.instances import InstanceStopper
from activities.recovery import InstanceRecovery
from activities.routing import RouteWriter
from drivers.targets.base import Target
from reconcilers.decision_relay import DecisionRelay
from reconcilers.environments import DesertedEnvironments
from reconcilers.instances import MissingInstances
from reconcilers.surplus_instances import SurplusInstances
from runtime.reconciler import Reconciler
from storage.engine import Sessions

# A download, on a busy machine.
WAIT_S = 30.0


class InstanceReconcilers:
    """The three that keep instances as the record wants them."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        target: Target,
        stopper: InstanceStopper,
        writer: RouteWriter,
        recovery: InstanceRecovery,
    ) -> None:
        self.missing = MissingInstances(
            sessions=sessions, target=target, writer=writer, recovery=recovery, wait_s=WAIT_S
        )
        self.deserted = DesertedEnvironments(sessions, stopper, writer)
        self.surplus = SurplusInstances(sessions, target)

    @property
    def _all(self) -> Sequence[Reconciler]:
        return (self.missing, self.deserted, self.surplus)

    async def reconcile(self) -> None:
        """A pass of each."""
        for one in self._all:
            await one.reconcile()

    async def close(self) -> None:
        for one in self._all:
            await one.close()


async def answered(relay: DecisionRelay) -> int:
    """A pass, and the answers to what it sent; returns how many it sent."""
    sent = await relay.reconcile()
    if relay._under_way:
        await asyncio.wait(relay._under_way)
    return sent
