"""All workflows, and the sandbox they run in."""

from collections.abc import Sequence

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.build_and_deploy import BuildAndDeployWorkflow
from workflows.deploy import DeployWorkflow
from workflows.environment import EnvironmentWorkflow
from workflows.rollback import RollbackWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow

WORKFLOWS: Sequence[type] = (
    BuildAndDeployWorkflow,
    DeployWorkflow,
    RollbackWorkflow,
    EnvironmentWorkflow,
    WebhookDeliveryWorkflow,
)

# Our own pure packages need no second import in the sandbox: 24 ms an instance become less than one (temporal.md).
PURE = ("contracts", "domain", "pydantic", "pydantic_core", "annotated_types", "typing_inspection", "yaml")


def sandbox() -> SandboxedWorkflowRunner:
    """The workflow sandbox with our pure packages passed through."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE))
