"""What it costs that starts and decisions are signed, and that activities ask who calls them: medians, in process.

`python -m tests.bench.signing` prints them, from the database of a stack of its own.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from temporalio.testing import ActivityEnvironment
from temporalio.worker import ExecuteActivityInput

from activities.callers import CallerGuard
from activities.refusals import Refusals
from activities.signatures import Signatures, StartActivities
from contracts.names import WorkflowName
from contracts.operations import ORDERS, ActionRequest
from contracts.rollouts import TAKE_BACK
from contracts.signatures import StartClaim
from domain.approvals import Action
from domain.lifecycle import OperationKind
from orchestration.signing import signer_of
from runtime.decision_keys import load_verifying_keys
from runtime.settings import Settings
from storage.engine import Sessions, create_engine, create_sessions
from tests.bench.api import bench_platform
from tests.chaos.records import Records, Row
from tests.support.platform import Platform
from tests.support.services import until

ROUNDS = 300
KIND = OperationKind.BUILD_AND_DEPLOY
Cost = tuple[str, float]


def costs(platform: Platform) -> Sequence[Cost]:
    """What it is, and its median in microseconds."""
    begun = platform.app("signed").begin(environment="production", request_approval=True)
    records = Records(platform.stack.data_dir)
    operation_id = begun.accepted.operation_id
    until(lambda: records.operation(operation_id)["workflow_run_id"] is not None, "the check of a start", 120)
    row = records.operation(operation_id)
    try:
        return asyncio.run(_costs(Settings(data_dir=platform.stack.data_dir), records.url, row))
    finally:
        records.close()


async def _costs(settings: Settings, url: str, row: Row) -> Sequence[Cost]:
    engine = create_engine(url, application_name="bench")
    try:
        return [*await _signatures(settings), *await _records(settings, create_sessions(engine), row)]
    finally:
        await engine.dispose()


async def _signatures(settings: Settings) -> Sequence[Cost]:
    signer, signatures = signer_of(settings), Signatures(load_verifying_keys(settings), Refusals())
    workflow_id, request = str(UUID(int=1)), ActionRequest(actor="ben", reason="looks good")
    signed = signer.decision(workflow_id, Action.APPROVE, request)

    async def sign() -> None:
        signer.decision(workflow_id, Action.APPROVE, request)

    async def check() -> None:
        assert signatures.decision_fault(workflow_id, Action.APPROVE, signed) is None

    return [("a decision is signed", await _median(sign)), ("a decision is checked", await _median(check))]


async def _records(settings: Settings, sessions: Sessions, row: Row) -> Sequence[Cost]:
    starts = StartActivities(sessions, Signatures(load_verifying_keys(settings), Refusals()))
    order = ORDERS[KIND].model_validate(row["input"])
    claim = StartClaim(
        workflow_id=str(row["workflow_id"]),
        first_run_id=row["workflow_run_id"],
        kind=KIND,
        order=order.model_dump(mode="json"),
    )
    info = replace(
        ActivityEnvironment().info,
        workflow_id=str(row["workflow_id"]),
        workflow_run_id=str(row["workflow_run_id"]),
        workflow_type=WorkflowName.BUILD_AND_DEPLOY,
        activity_type=TAKE_BACK.name,
    )
    call = ExecuteActivityInput(fn=_records, args=[], executor=None, headers={})
    known = CallerGuard(sessions, Refusals())

    async def first() -> None:
        await CallerGuard(sessions, Refusals()).check(info, call)

    return [
        ("a start is checked", await _median(partial(ActivityEnvironment().run, starts.check, claim))),
        ("an activity asks who calls, the first time", await _median(first)),
        ("an activity asks who calls, from then on", await _median(partial(known.check, info, call))),
    ]


async def _median(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def main() -> int:
    """Print them."""
    with bench_platform() as platform:
        for words, microseconds in costs(platform):
            sys.stdout.write(f"  {words:46} {microseconds:8.0f} us\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
