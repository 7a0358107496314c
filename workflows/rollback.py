"""A finished deployment is taken back: the previous healthy release gets the traffic again."""

from temporalio import workflow

from contracts.names import WorkflowName
from contracts.operations import OperationResult, RollbackInput
from contracts.rollouts import REOPEN_RELEASE, OpenedRelease, ReopenRelease
from domain.delivery import DeliverySpec
from domain.lifecycle import DeploymentStatus, OperationKind, StepName
from domain.rollout import plan_rollback
from workflows.ledger import Ledger
from workflows.operation import OperationWorkflow
from workflows.rollout import Rollout


@workflow.defn(name=WorkflowName.ROLLBACK)
class RollbackWorkflow(OperationWorkflow):
    """The release before becomes the new one of a short blue-green rollout; the bad one is stopped at once."""

    purpose = "rollback"

    @workflow.init
    def __init__(self, order: RollbackInput) -> None:
        self._order = order
        self._prepare(order.place, Ledger(order.place.operation_id, OperationKind.ROLLBACK, [StepName.ROLLOUT]))
        self._status_if_failed = DeploymentStatus.SUCCESS  # it serves on
        self._status_while_queued = None  # the API told `rolling_back` already
        self._urgent = True

    @workflow.run
    async def run(self, _order: RollbackInput) -> OperationResult:
        return await self._guard(self._take_back())

    async def _take_back(self) -> OperationResult:
        opened = await self.step(StepName.ROLLOUT, "Rolling back", self._roll_back(), waiting=True)
        self.deployment = self.deployment.model_copy(
            update={
                "status": DeploymentStatus.ROLLED_BACK,
                "rollback_reason": self._order.reason,
                "rolled_back_to_build_id": opened.release.build_id,
            }
        )
        return OperationResult(
            operation_id=self.place.operation_id,
            deployment_id=self.place.deployment_id,
            build_id=opened.release.build_id,
        )

    async def _roll_back(self) -> OpenedRelease:
        await self.take_turn()
        opened = await self.call(REOPEN_RELEASE, ReopenRelease(place=self.place), summary="find the previous release")
        plan = plan_rollback(replicas=opened.release.replicas, old_replicas=1)
        await Rollout(self, opened, plan, DeliverySpec(), taking_back=True).run()
        return opened
