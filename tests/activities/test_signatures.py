"""A start is checked against its signature and against the record; what is refused stands in the audit log."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.refusals import Refusal, Refusals
from activities.signatures import Signatures, StartActivities
from contracts.operations import RollbackInput
from contracts.signatures import StartClaim
from domain.lifecycle import OperationKind, OperationStatus
from orchestration.signing import Signer
from reconcilers.refusals import MOST, RefusalAudit
from runtime.decision_keys import SigningKey, VerifyingKeys
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import AuditEntry, Operation
from tests.activities.conftest import History, MakeHistory
from tests.support.signing import KEY, SIGNER

KIND = OperationKind.ROLLBACK


@pytest.fixture
async def place(history: MakeHistory) -> History:
    return await history(1)


class Bed:
    """The activity on the real database, with the operation's row as the API writes it."""

    def __init__(self, sessions: Sessions, place: History) -> None:
        self.refusals = Refusals()
        self.sessions = sessions
        self.place = place
        self.starts = StartActivities(sessions, Signatures(VerifyingKeys([KEY]), self.refusals))

    def order(self, named: str | None = None) -> RollbackInput:
        where = self.place.place(self.place.releases[0])
        where = where.model_copy(update={"named_workflow_id": f"{named}/{where.operation_id}" if named else None})
        return SIGNER.order(KIND, RollbackInput(place=where, reason="errors"))

    async def keep(self, order: RollbackInput, status: OperationStatus = OperationStatus.PENDING) -> RollbackInput:
        where = order.place
        async with transaction(self.sessions) as session:
            session.add(
                Operation(
                    id=where.operation_id,
                    organization_id=where.organization_id,
                    project_id=where.project_id,
                    kind=KIND,
                    status=status,
                    resource_id=where.deployment_id,
                    requested_by=where.requested_by,
                    input=order.model_dump(mode="json"),
                )
            )
        return order

    async def check(self, order: RollbackInput, run_id: UUID | None = None, workflow_id: str = "") -> None:
        claim = StartClaim(
            workflow_id=workflow_id or order.place.workflow_id,
            first_run_id=run_id or uuid4(),
            kind=KIND,
            order=order.model_dump(mode="json"),
        )
        await ActivityEnvironment().run(self.starts.check, claim)

    async def refused(self, order: RollbackInput, *given: Any) -> ApplicationError:
        with pytest.raises(ApplicationError) as fault:
            await self.check(order, *given)
        return fault.value


@pytest.fixture
def bed(sessions: Sessions, place: History) -> Bed:
    return Bed(sessions, place)


async def test_what_the_api_accepted_begins_and_may_ask_again(bed: Bed) -> None:
    order, run_id = await bed.keep(bed.order()), uuid4()
    await bed.check(order, run_id)
    await bed.check(order, run_id)  # the first answer was lost
    assert not bed.refusals.take()


async def test_a_second_run_with_the_same_signed_start_is_refused(bed: Bed) -> None:
    """Terminated and started again with the input that stands in its history: nothing is deployed twice."""
    order = await bed.keep(bed.order())
    await bed.check(order)
    assert (await bed.refused(order)).type == "ORCHESTRATION_LOST"
    assert bed.refusals.take()


async def test_after_its_end_an_operation_is_not_begun_again(bed: Bed) -> None:
    order = await bed.keep(bed.order(), OperationStatus.COMPLETED)
    assert (await bed.refused(order)).type == "ORCHESTRATION_LOST"


async def test_what_the_record_does_not_have_is_refused_however_it_is_signed(bed: Bed) -> None:
    order = bed.order()
    assert (await bed.refused(order)).type == "ORCHESTRATION_LOST"
    await bed.keep(order)
    changed = SIGNER.order(KIND, order.model_copy(update={"reason": "other", "signature": None}))
    for other in (changed, order.model_copy(update={"signature": None})):
        assert "is not what the record" in (await bed.refused(other)).message
    await bed.check(order)  # the attempts took nothing away


async def test_a_record_that_somebody_wrote_without_the_api_is_refused(bed: Bed) -> None:
    order = bed.order()
    forged = await bed.keep(order.model_copy(update={"reason": "other words under the same signature"}))
    assert (await bed.refused(forged)).type == "AUTHORIZATION_DENIED"
    strange = bed.order()
    strange = strange.model_copy(update={"signature": None})
    strange = await bed.keep(Signer(SigningKey(b"x" * 32)).order(KIND, strange))
    fault = await bed.refused(strange)
    assert (fault.type, fault.non_retryable) == ("SERVICE_UNAVAILABLE", False)  # until the key is put back


@pytest.mark.parametrize("named", [None, "acme/shop/dev/1.0.0"])
@pytest.mark.parametrize("is_signed", [True, False])
async def test_under_another_workflow_id_it_is_refused(bed: Bed, named: str | None, is_signed: bool) -> None:
    order = bed.order(named)
    order = await bed.keep(order if is_signed else order.model_copy(update={"signature": None}))
    operation_id = order.place.operation_id
    for strange in (
        "anything",
        f"x/{operation_id}",
        str(operation_id) if named else f"acme/shop/dev/1.0.0/{operation_id}",
    ):
        assert (await bed.refused(order, None, strange)).type == "AUTHORIZATION_DENIED"
    await bed.check(order)


async def test_what_was_accepted_before_there_were_signatures_begins_as_the_record_has_it(bed: Bed) -> None:
    old = await bed.keep(bed.order().model_copy(update={"signature": None}))
    assert "is not what" in (await bed.refused(old.model_copy(update={"reason": "other"}))).message
    await bed.check(old)


async def entries(sessions: Sessions) -> list[AuditEntry]:
    async with transaction(sessions) as session:
        found = await session.scalars(select(AuditEntry).where(AuditEntry.action == "operation.forged"))
        return list(found)


async def test_what_was_refused_stands_in_the_audit_log_of_its_organization(bed: Bed) -> None:
    order = await bed.keep(bed.order())
    workflow_id = str(order.place.operation_id)
    for _ in range(3):
        bed.refusals.add(Refusal(workflow_id, "approve", "cto", "it does not carry the API's signature"))
    bed.refusals.add(Refusal(str(new_id()), "approve", "x" * 5000, "no such operation"))
    bed.refusals.add(Refusal("anything", "start deploy", "cto", "no operation at all"))
    assert await RefusalAudit(bed.sessions, bed.refusals).reconcile() == 3
    told = {entry.reason: entry for entry in await entries(bed.sessions)}
    first = told["it does not carry the API's signature"]
    assert (first.organization_id, first.resource_id) == (order.place.organization_id, order.place.operation_id)
    assert (first.details["claimed_actor"], first.details["asked"], first.details["times"]) == ("cto", "approve", 3)
    assert first.actor == "system"  # nobody knows who it was
    assert told["no such operation"].organization_id is None
    assert told["no operation at all"].resource_id is None


async def test_thousands_of_attempts_do_not_fill_the_log(bed: Bed) -> None:
    before = len(await entries(bed.sessions))
    for number in range(5000):
        bed.refusals.add(Refusal(f"w-{number}", "approve", "cto", "no"))
    assert await RefusalAudit(bed.sessions, bed.refusals).reconcile() == MOST
    assert len(await entries(bed.sessions)) == before + MOST
    assert await RefusalAudit(bed.sessions, bed.refusals).reconcile() == 0
