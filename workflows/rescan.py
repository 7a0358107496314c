"""Rescan: what is live is compared with what became known since it was built."""

from temporalio import workflow

from contracts.names import BUILD_QUEUE, WorkflowName
from contracts.rescans import RESCAN_PAGE, Rescanned, RescanOrder, RescanPage
from workflows.activity_calls import call


@workflow.defn(name=WorkflowName.RESCAN)
class RescanWorkflow:
    """One page of live builds after the other, on a worker that has the advisories."""

    @workflow.run
    async def run(self, order: RescanOrder) -> Rescanned:
        while True:
            page = await call(
                RESCAN_PAGE, RescanPage(after=order.after), queue=BUILD_QUEUE, summary=f"after {order.builds} builds"
            )
            order = RescanOrder(
                after=page.next,
                builds=order.builds + page.builds,
                detected=order.detected + page.detected,
                failed=order.failed + page.failed,
            )
            self._show(order)
            if page.next is None:
                told = order.model_dump(exclude={"after"})
                return Rescanned(**told, skipped=page.skipped)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(order)

    @staticmethod
    def _show(order: RescanOrder) -> None:
        workflow.set_current_details(
            f"{order.builds} live builds compared, {order.detected} new vulnerabilities, {order.failed} failed"
        )
