"""A build that exists goes live."""

from temporalio import workflow

from contracts.builds import LOAD_BUILD, LoadBuild
from contracts.names import WorkflowName
from contracts.operations import DeployInput, OperationResult
from domain.lifecycle import OperationKind, StepName
from workflows.delivering import DeliveringWorkflow


@workflow.defn(name=WorkflowName.DEPLOY)
class DeployWorkflow(DeliveringWorkflow):
    """The rollout of a build-and-deploy, without the build."""

    @workflow.init
    def __init__(self, order: DeployInput) -> None:
        self._order = order
        self._prepare_delivery(order, OperationKind.DEPLOY, [StepName.ROLLOUT])

    @workflow.run
    async def run(self, _order: DeployInput) -> OperationResult:
        return await self._guard(self._deliver())

    async def _deliver(self) -> OperationResult:
        await self.step(StepName.ROLLOUT, "Preparing the rollout", self._load_and_roll_out(), waiting=True)
        return OperationResult(
            operation_id=self.place.operation_id,
            deployment_id=self.place.deployment_id,
            build_id=self._order.build_id,
        )

    async def _load_and_roll_out(self) -> None:
        request = LoadBuild(build_id=self._order.build_id)
        build = await self.call(LOAD_BUILD, request, summary=f"load build {self._order.version_tag}")
        await self._roll_out(build.build_id, build.artifact_digest, build.spec)
