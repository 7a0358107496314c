"""What people decide about a deployment under way: checked, kept, told to its workflow until the outcome is known.

A decision is kept with its audit entry before anything is told, so that it is neither lost nor doubled, whatever dies.
It is told right after the commit; without an answer a relay goes on with it, and who asked hears 202. Only where
nothing was kept or told is the answer 503.
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

# How long a stopped deployment is looked at for its end: before any traffic moved that takes no time.
END_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Decision:
    """One person's decision about one deployment.

    `key`: sent again under it, it is the same decision. `asked`: the audit log's verb, where it is not the action's.
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
        """Of what is kept: the same for the same decision sent again."""
        name = f"{self.deployment_id}/{self.asked or self.action}/{self.key or self.nonce}"
        return uuid5(NAMESPACE_URL, f"decision:{name}")

    async def is_too_late(self, session: AsyncSession) -> bool:
        """Whether the deployment is finished, so that no workflow hears this any more."""
        deployment = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
        operation = await OperationRepository(session, self.principal.tenant).get(deployment.operation_id)
        return operation.status in FINISHED_OPERATIONS

    async def reach(self) -> None:
        """Before it is kept: whether it may be, and whether its workflow can hear it. No connection is held meanwhile.

        Raises:
            as `keep`.
            DependencyError: the workflow engine does not answer; nothing was told, and nothing is kept.
        """
        async with transaction(self.parts.sessions) as session:
            if self.action is Action.PROMOTE and await self.is_too_late(session):
                return  # a new one is made of it
            _, operation, _ = await self._examined(session)
        if self.action is not Action.ABORT:
            # An abort is a promise, like a start: it is kept for when there is an engine.
            await self.parts.operations.check()
            await ensure_started(self.parts.operations, operation)

    async def keep(self, session: AsyncSession) -> Operation:
        """Write it down, in the caller's transaction; told it is after the commit.

        Raises:
            InvalidRequestError: a rejection without a reason.
            ConflictError: INVALID_STATE, it is finished.
            ForbiddenError: nobody is known who answers for the approver; promoting past an approval rule; going on in a
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
        """Write it down for an operation that is known to be under way; `instead`: see `DecisionRepository.add`."""
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
            self.principal.require(Scope.DEPLOYMENTS_APPROVE)  # past the analysis, where people have to say yes
        if self.action is not Action.APPROVE:
            return ActionRequest(actor=actor, reason=self.reason)
        person = await approver_of(session, self.principal, deployment.organization_id)
        return ActionRequest.of(person, reason=self.reason, rule=rule)

    async def told(self, *, fresh: bool = True) -> Told | None:
        """What came of it, telling it if nobody knows yet; None: nobody knows even so, and a relay goes on with it.

        `fresh`: it was kept just now, so that nobody else tells it; else only if nobody is telling it at this moment.
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
        """Nobody tells it at this moment; without the database the claim runs out."""
        with suppress(DependencyError):
            async with transaction(self.parts.sessions) as session:
                await DecisionRepository(session).release(self.id, why)

    async def ended(self) -> None:
        """After a stop: until the deployment is finished, for a moment; going back takes its time."""
        deadline = time.monotonic() + END_WITHIN_S
        while time.monotonic() < deadline:
            async with transaction(self.parts.sessions) as session:
                row = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
            if row.status in FINISHED_DEPLOYMENTS or row.status == DeploymentStatus.ROLLING_BACK:
                return
            await asyncio.sleep(LOOK_EVERY_S)
