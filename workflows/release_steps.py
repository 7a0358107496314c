"""What every way of bringing a build into an environment has in common: approval, the turn, the rollout."""

from collections.abc import Iterable
from uuid import UUID

from contracts.operations import ActionRequest, BuildAndDeployInput, DeployInput
from contracts.rollouts import OPEN_RELEASE, OpenedRelease, OpenRelease
from domain.approvals import Person
from domain.delivery_spec import DeliverySpec
from domain.lifecycle import OperationKind, StepName
from domain.rollout import RolloutPlan, plan_delivery
from workflows.activity_calls import call, run_to_completion
from workflows.operation import OperationWorkflow
from workflows.progress_tracker import ProgressTracker
from workflows.rollout import Rollout


class DeliveringWorkflow(OperationWorkflow):
    """Base of the workflows that end with a build live; subclasses call `_prepare_delivery` in `@workflow.init`."""

    def _prepare_delivery(
        self, order: BuildAndDeployInput | DeployInput, kind: OperationKind, steps: Iterable[StepName]
    ) -> None:
        self._terms = order
        self.purpose = order.version_tag
        place = order.place
        requester = order.requester or Person(actor=place.requested_by)
        self._prepare(order, ProgressTracker(place.operation_id, kind, steps), order.approval, requester)
        self._approvals = _approved_with(order, requester)
        self._override_freeze = order.override_freeze
        if order.skip_analysis:
            self._promoted = ActionRequest(actor=place.requested_by, reason="analysis skipped on request")

    async def _roll_out(self, build_id: UUID, artifact_digest: str, spec: DeliverySpec) -> None:
        await self.await_approval()
        await self.take_turn()
        request = OpenRelease(
            place=self.place,
            build_id=build_id,
            artifact_digest=artifact_digest,
            service=spec.service_for(self.place.environment),
            processes=spec.processes_for(self.place.environment),
        )
        # Stopped meanwhile or not: what was opened has to be undone by the rollout, so its answer is waited for.
        opened = await run_to_completion(call(OPEN_RELEASE, request, summary="open the release"))
        await Rollout(self, opened, self._plan(spec, opened), spec).run()

    def _plan(self, spec: DeliverySpec, opened: OpenedRelease) -> RolloutPlan:
        return plan_delivery(
            spec,
            self._terms.strategy,
            canary_percentage=self._terms.canary_percentage,
            replicas=opened.release.replicas,
            old_replicas=opened.stable.replicas if opened.stable else 0,
            returning=opened.returning,
        )


def _approved_with(order: BuildAndDeployInput | DeployInput, requester: Person) -> list[ActionRequest]:
    """Who said yes with the order; an older release's names them only, and histories of it count as they did."""
    if order.approvers is not None:
        return [ActionRequest.of(person) for person in order.approvers]
    humans = {requester.actor: requester.humans}
    return [ActionRequest(actor=who, humans=humans.get(who, ())) for who in order.approved_by]
