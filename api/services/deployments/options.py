"""On what terms something goes live: the rules a schema cannot say, the same for every way of asking."""

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from api.auth.principal import Principal
from api.http.errors import InvalidRequestError
from api.schemas.deployments import DeliveryRequest
from domain.approvals import ApprovalPolicy, Person
from domain.lifecycle import EnvironmentName, Strategy
from domain.permissions import Scope


@dataclass(frozen=True)
class Terms:
    """Where a version goes, how, and with whose consent.

    `reason` is for the audit log where the request gives one; `notes_field` is what it calls the approval notes.
    """

    environment: EnvironmentName
    strategy: Strategy
    canary_percentage: int | None = None
    approval_notes: str | None = None
    request_approval: bool = False
    skip_analysis: bool = False
    override_freeze: bool = False
    retry_of: UUID | None = None
    reason: str | None = None
    notes_field: str = "approval_notes"

    @classmethod
    def of(cls, body: DeliveryRequest, *, skip_analysis: bool = False) -> Self:
        """The terms that a request's body asks for."""
        return cls(
            environment=body.environment,
            strategy=body.deployment_strategy,
            canary_percentage=body.canary_percentage,
            approval_notes=body.approval_notes,
            request_approval=body.request_approval,
            skip_analysis=skip_analysis,
            override_freeze=body.override_freeze,
        )

    def check(self, principal: Principal) -> None:
        """Raise what is wrong with these terms, or what this caller may not ask for, before anything is written."""
        self._check_canary()
        if self.skip_analysis or self.override_freeze:
            principal.require(Scope.DEPLOYMENTS_APPROVE)
        if self.environment is EnvironmentName.PRODUCTION and not self.request_approval:
            principal.require(Scope.DEPLOYMENTS_APPROVE)
            if not (self.approval_notes or "").strip():
                raise InvalidRequestError(self.notes_field, "is required for production", code="missing")

    def _check_canary(self) -> None:
        canary = self.strategy is Strategy.CANARY
        if canary and self.canary_percentage is None:
            raise InvalidRequestError("canary_percentage", "is required for canary", code="missing")
        if not canary and self.canary_percentage is not None:
            raise InvalidRequestError("canary_percentage", "is only for canary", code="unexpected")


@dataclass(frozen=True)
class Consent:
    """Who must say yes to a deployment (None: nobody any more), who said it with the request, and whose that is."""

    policy: ApprovalPolicy | None
    approved_by: tuple[str, ...] = ()
    requester: Person | None = None

    @property
    def approvers(self) -> tuple[Person, ...]:
        """The approver in the request, which can only be the requester."""
        return (self.requester,) if self.requester is not None and self.approved_by else ()


def consent_of(terms: Terms, principal: Principal, own: ApprovalPolicy | None, requester: Person) -> Consent:
    """What is still to be approved.

    Args:
        terms: checked already: production without `request_approval` comes from somebody who may approve.
        principal: who asks; counts as one of the approvers unless four eyes are wanted or somebody else was asked.
        own: the environment's own policy; None: what the request says is enough.
        requester: who that is, with the humans behind.
    """
    policy = own or (ApprovalPolicy() if terms.request_approval else None)
    if policy is None:
        return Consent(None, requester=requester)
    approves = principal.may(Scope.DEPLOYMENTS_APPROVE) and not terms.request_approval and not policy.four_eyes
    if principal.is_foreign_machine or (requester.unknown and policy.min_approvals > 1):
        approves = False  # as when they approve what somebody else asked for
    return Consent(policy, (principal.subject,) if approves else (), requester)
