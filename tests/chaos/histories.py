"""What Temporal's histories say of decisions: counted there, whatever our rows tell."""

import asyncio

from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.platform import Platform

_ACCEPTED = "workflow_execution_update_accepted_event_attributes"


def accepted_updates(platform: Platform, workflow_id: str, name: str, *, closed: bool = False) -> int:
    """How many updates of a name a workflow has accepted; `closed`: -1 while it runs."""
    return asyncio.run(_count(platform.stack.addresses["temporal"], workflow_id, name, closed=closed))


async def _count(address: str, workflow_id: str, name: str, *, closed: bool) -> int:
    client = await Client.connect(address)
    handle = client.get_workflow_handle(workflow_id)
    if closed and (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
        return -1
    events = [event async for event in handle.fetch_history_events() if event.HasField(_ACCEPTED)]
    inputs = [getattr(event, _ACCEPTED).accepted_request.input for event in events]
    return sum(one.name == name for one in inputs)
