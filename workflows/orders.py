"""What the order of an operation says to its collaborators: the one place that reads an order's options."""

from temporalio import workflow

from contracts.operations import ActionRequest, BuildAndDeployInput, DeployInput, Order, RollbackInput
from contracts.rollouts import LockRequest, OpenedRelease
from domain.approvals import Person
from domain.delivery_spec import DeliverySpec
from domain.rollout import RolloutPlan, plan_delivery
from workflows.approval import Approval


def approval_for(order: Order) -> Approval:
    """A rollback needs none."""
    requester = Person(actor=order.place.requested_by)
    if isinstance(order, RollbackInput):
        return Approval(requester)
    requester = order.requester or requester
    return Approval(requester, order.approval, _given(order, requester), overrides_freeze=order.chosen.override_freeze)


def promotion_for(order: Order) -> ActionRequest | None:
    """An order that skips the analysis promotes the rollout before it begins."""
    if isinstance(order, RollbackInput) or not order.chosen.skip_analysis:
        return None
    return ActionRequest(actor=order.place.requested_by, reason="analysis skipped on request")


def lock_request_for(order: Order) -> LockRequest:
    """A rollback goes before everything that waits."""
    context = order.place
    delivery = None if isinstance(order, RollbackInput) else order
    return LockRequest(
        environment_id=context.environment_id,
        workflow_id=workflow.info().workflow_id,
        deployment_id=context.deployment_id,
        urgent=delivery is None,
        purpose=delivery.version_tag if delivery else "rollback",
        override_freeze=delivery is not None and delivery.chosen.override_freeze,
        organization_slug=context.organization_slug,
        project_slug=context.project_slug,
        environment=context.environment,
    )


def plan_for(order: BuildAndDeployInput | DeployInput, spec: DeliverySpec, opened: OpenedRelease) -> RolloutPlan:
    """The steps by which this release gets the traffic."""
    return plan_delivery(
        spec,
        order.chosen,
        replicas=opened.release.replicas,
        old_replicas=opened.stable.replicas if opened.stable else 0,
        returning=opened.returning,
    )


def _given(order: BuildAndDeployInput | DeployInput, requester: Person) -> list[ActionRequest]:
    """Who said yes with the order; an older release's names them only, and histories of it count as they did."""
    if order.approvers is not None:
        return [ActionRequest.of(person) for person in order.approvers]
    humans = {requester.actor: requester.humans}
    return [ActionRequest(actor=who, humans=humans.get(who, ())) for who in order.approved_by]
