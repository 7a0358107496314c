"""What people decide about a deployment under way: checked, stored, sent to its workflow until the outcome is known.

A decision is stored with its audit entry before it is sent, so a crash neither loses nor doubles it. It is sent right
after the commit. Without an answer the relay (`reconcilers/decision_relay.py`) sends it again, and the caller gets 202.
The caller gets 503 only if nothing was stored or sent.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.dependencies import AppState
from api.http.errors import InvalidRequestError
from api.services.audit import deployment_entry
from api.services.deployments.start import ensure_started
from api.services.environments.settings import approval_of, settings_of
from api.services.humans import approver_of
from api.services.organizations.status import require_going_on
from contracts.operations import AbortRequest, ActionRequest
from domain.approvals import GOING_ON, Action, Phase, check_action, check_recorded
from domain.errors import DependencyError
from domain.lifecycle import FINISHED_DEPLOYMENTS, FINISHED_OPERATIONS, DeploymentStatus
from domain.permissions import Scope
from orchestration.signing import signer_of
from orchestration.telling import Telling, Told
from runtime.ids import new_id
from runtime.logging import get_logger
from runtime.tracing import link
from storage.engine import transaction
from storage.models import Deployment, Operation
from storage.repositories.decisions import STILL_RUNNING, DecisionRepository, Pending
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.operations import OperationRepository

log = get_logger(__name__)

# How long to wait for the end of a stopped deployment: before any traffic moved it is short.
END_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Decision:
    """One person's decision about one deployment.

    `key`: the same key means the same decision. `asked`: the verb in the audit log, where it is not the action's.
    """

    parts: AppState
    principal: Principal
    deployment_id: UUID
    action: Action
    reason: str
    key: str | None = None
    asked: str = ""
    nonce: UUID = field(default_factory=new_id)

    @property
    def id(self) -> UUID:
        """The id of the stored decision: the same when the decision is sent again."""
        name = f"{self.deployment_id}/{self.asked or self.action}/{self.key or self.nonce}"
        return uuid5(NAMESPACE_URL, f"decision:{name}")

    async def is_too_late(self, session: AsyncSession) -> bool:
        """Whether the deployment is finished, so that no workflow can take the decision any more."""
        deployment = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
        operation = await OperationRepository(session, self.principal.tenant).get(deployment.operation_id)
        return operation.status in FINISHED_OPERATIONS

    async def reach(self) -> None:
        """Check, before it is stored, that it is allowed and that its workflow answers. Holds no database connection.

        Raises:
            as `keep`.
            DependencyError: the workflow engine does not answer; nothing was sent or stored.
        """
        async with transaction(self.parts.sessions) as session:
            if self.action is Action.PROMOTE and await self.is_too_late(session):
                return  # a new deployment is made from it
            _, operation, _ = await self._examined(session)
        if self.action is not Action.ABORT:
            # An abort is accepted like a start: it is stored, and sent when the engine answers again.
            await self.parts.operations.check()
            await ensure_started(self.parts.operations, operation)

    async def keep(self, session: AsyncSession) -> Operation:
        """Store it in the caller's transaction; it is sent after the commit.

        Raises:
            InvalidRequestError: a rejection without a reason.
            ConflictError: INVALID_STATE, it is finished.
            ForbiddenError: no person is known behind the approver; promoting past an approval rule; resuming in a
                suspended organization.
        """
        deployment, operation, request = await self._examined(session)
        await self.keep_about(session, deployment, operation, request)
        return operation

    async def _examined(self, session: AsyncSession) -> tuple[Deployment, Operation, ActionRequest | AbortRequest]:
        deployment = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
        operation = await OperationRepository(session, self.principal.tenant).get(deployment.operation_id)
        if self.action is Action.REJECT and not self.reason.strip():
            raise InvalidRequestError("reason", "is required: say why it is rejected", code="missing")
        if operation.status in FINISHED_OPERATIONS:
            check_recorded(DeploymentStatus(deployment.status), self.action)
            check_action(Phase.FINISHED, self.action, state=deployment.status)
        if self.action in GOING_ON:
            await require_going_on(session, deployment.organization_id)
        return deployment, operation, await self._request(session, deployment)

    async def keep_about(
        self,
        session: AsyncSession,
        deployment: Deployment,
        operation: Operation,
        request: ActionRequest | AbortRequest | None = None,
        *,
        instead: dict[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        """Store it for an operation that is known to be under way; `instead`: see `DecisionRepository.add`."""
        link(operation.traceparent)
        intent = deployment_entry(deployment, self.asked or self.action, reason=self.reason, **facts)
        asked = request or AbortRequest(actor=self.principal.subject, reason=self.reason)
        signed = signer_of(self.parts.settings).decision(operation.workflow_id, self.action, asked)
        await DecisionRepository(session).add(
            self.id,
            action=self.action,
            operation=operation,
            intent=intent,
            request=signed.model_dump(mode="json"),
            key=str(self.id),
            instead=instead,
        )

    async def _request(self, session: AsyncSession, deployment: Deployment) -> ActionRequest | AbortRequest:
        actor = self.principal.subject
        if self.action in (Action.ABORT, Action.REJECT):
            return AbortRequest(actor=actor, reason=self.reason)
        environment = await EnvironmentRepository(session, self.principal.tenant).get(deployment.environment_id)
        rule = approval_of(settings_of(environment))
        if self.action is Action.PROMOTE and rule is not None:
            self.principal.require(Scope.DEPLOYMENTS_APPROVE)  # promoting skips the analysis
        if self.action is not Action.APPROVE:
            return ActionRequest(actor=actor, reason=self.reason)
        person = await approver_of(session, self.principal, deployment.organization_id)
        return ActionRequest.of(person, reason=self.reason, rule=rule)

    async def told(self, *, fresh: bool = True) -> Told | None:
        """The outcome, after sending it if there is none yet; None: not known, and the relay sends it again.

        `fresh`: it was stored just now, so no other process sends it; otherwise it is sent only if it can be claimed.
        """
        async with transaction(self.parts.sessions) as session:
            pending = await DecisionRepository(session).get(self.id)
            if pending is None:
                return None
            if pending.entry.outcome is not None:
                return Told.from_json(pending.entry.outcome)
            if not fresh and not await DecisionRepository(session).claim_one(self.id):
                return None
        return await self._tell(pending)

    async def _tell(self, pending: Pending) -> Told | None:
        try:
            told = await Telling.of(self.action, pending.entry.payload, pending.operation).tell(self.parts.operations)
        except DependencyError as error:
            log.warning("decision.left_to_relay", action=self.action, reason=error.message)
            await self._release(error.message)
            return None
        try:
            async with transaction(self.parts.sessions) as session:
                outcome = await DecisionRepository(session).settle(self.id, told.to_json())
                if outcome is None:
                    await DecisionRepository(session).release(self.id, STILL_RUNNING)
                    return None
        except DependencyError as error:
            log.warning("decision.left_to_relay", action=self.action, reason=error.message)
            return None
        return Told.from_json(outcome)

    async def _release(self, why: str) -> None:
        """Give up the claim to send it. While the database is away, the claim expires by itself."""
        with suppress(DependencyError):
            async with transaction(self.parts.sessions) as session:
                await DecisionRepository(session).release(self.id, why)

    async def ended(self) -> None:
        """After a stop: wait a moment for the deployment to finish. Moving traffic back takes longer."""
        deadline = time.monotonic() + END_WITHIN_S
        while time.monotonic() < deadline:
            async with transaction(self.parts.sessions) as session:
                row = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
            if row.status in FINISHED_DEPLOYMENTS or row.status == DeploymentStatus.ROLLING_BACK:
                return
            await asyncio.sleep(LOOK_EVERY_S)
