"""What is asked of a deployment, and whose yes it needs: the rules that a schema cannot say."""

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from api.auth.principal import Principal
from api.http.errors import InvalidRequestError
from api.schemas.deployments import DeliveryRequest
from domain.approvals import ApprovalPolicy, Person
from domain.lifecycle import EnvironmentName, Strategy
from domain.permissions import Scope
from domain.rollout_options import RolloutOptions


@dataclass(frozen=True)
class DeploymentRequest:
    """Where a version is deployed, how, and with whose approval.

    `reason` is for the audit log where the request gives one; `notes_field` is what it calls the approval notes.
    """

    environment: EnvironmentName
    options: RolloutOptions
    approval_notes: str | None = None
    request_approval: bool = False
    retry_of: UUID | None = None
    reason: str | None = None
    notes_field: str = "approval_notes"

    @classmethod
    def of(cls, body: DeliveryRequest) -> Self:
        """What a request's body asks for."""
        return cls(
            environment=body.environment,
            options=body.options,
            approval_notes=body.approval_notes,
            request_approval=body.request_approval,
        )

    def check(self, principal: Principal) -> None:
        """Raise what is wrong with it, or what this caller may not ask for, before anything is written."""
        _check_canary(self.options)
        if self.options.skip_analysis or self.options.override_freeze:
            principal.require(Scope.DEPLOYMENTS_APPROVE)
        if self.environment is EnvironmentName.PRODUCTION and not self.request_approval:
            principal.require(Scope.DEPLOYMENTS_APPROVE)
            if not (self.approval_notes or "").strip():
                raise InvalidRequestError(self.notes_field, "is required for production", code="missing")


def _check_canary(options: RolloutOptions) -> None:
    canary = options.strategy is Strategy.CANARY
    if canary and options.canary_percentage is None:
        raise InvalidRequestError("canary_percentage", "is required for canary", code="missing")
    if not canary and options.canary_percentage is not None:
        raise InvalidRequestError("canary_percentage", "is only for canary", code="unexpected")


@dataclass(frozen=True)
class RequiredApproval:
    """Which approvals a deployment needs (None: no more), and which were given with the request, by whom."""

    policy: ApprovalPolicy | None
    approved_by: tuple[str, ...] = ()
    requester: Person | None = None

    @property
    def approvers(self) -> tuple[Person, ...]:
        """The approver in the request, which can only be the requester."""
        return (self.requester,) if self.requester is not None and self.approved_by else ()


def required_approval(
    wanted: DeploymentRequest, principal: Principal, own: ApprovalPolicy | None, requester: Person
) -> RequiredApproval:
    """What is still to be approved.

    Args:
        wanted: checked already: production without `request_approval` comes from a person who may approve.
        principal: who asks; counts as one of the approvers unless four eyes are wanted or another person was asked.
        own: the environment's own policy; None: what the request says is enough.
        requester: who that is, with the humans behind.
    """
    policy = own or (ApprovalPolicy() if wanted.request_approval else None)
    if policy is None:
        return RequiredApproval(None, requester=requester)
    approves = principal.may(Scope.DEPLOYMENTS_APPROVE) and not wanted.request_approval and not policy.four_eyes
    if principal.is_foreign_machine or (requester.unknown and policy.min_approvals > 1):
        approves = False  # as when they approve the request of another person
    return RequiredApproval(policy, (principal.subject,) if approves else (), requester)
