"""Who has to say yes before a rollout begins, and who did."""

from collections.abc import Iterable

from contracts.operations import ActionRequest
from domain.approvals import ApprovalPolicy, Person, approvals_needed, check_approver, count_humans, is_approved


class Approval:
    """The rule of a deployment with the approvals it has so far. No rule: no approval is needed (any more)."""

    def __init__(
        self,
        requester: Person,
        rule: ApprovalPolicy | None = None,
        given: Iterable[ActionRequest] = (),
        *,
        overrides_freeze: bool = False,
    ) -> None:
        self._requester = requester
        self._rule = rule
        self._given = list(given)
        self._overrides_freeze = overrides_freeze

    @property
    def count(self) -> int:
        """How many requests there are; two may be of the same person."""
        return len(self._given)

    def complete(self) -> bool:
        if self._rule is None:
            return True
        return is_approved(self._rule, self._people(), requested_by=self._requester)

    def check(self, request: ActionRequest) -> None:
        """Raises `DeliveryError` when the rule does not let this person approve."""
        check_approver(
            self._stricter_rule(request) or ApprovalPolicy(),
            requested_by=self._requester,
            approved_by=self._people(),
            approver=request.person,
        )

    def add(self, request: ActionRequest) -> None:
        self._rule = self._stricter_rule(request)
        self._given.append(request)

    def summary(self) -> str:
        """How far it is, for people."""
        needed = approvals_needed(self._rule, self._requester) if self._rule else 0
        freeze = "; it is to go past freezes" if self._overrides_freeze else ""
        return f"Waiting for approval: {count_humans(self._people())} of {needed} so far{freeze}"

    def _people(self) -> list[Person]:
        return [one.person for one in self._given]

    def _stricter_rule(self, request: ActionRequest) -> ApprovalPolicy | None:
        """Of the deployment's request, and of the environment now. A rule that held at the request stays in force."""
        return self._rule.stricter(request.rule) if self._rule else None
