"""All workflows, and the sandbox they run in."""

import pkgutil
from collections.abc import Sequence

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

import workflows
from workflows.build_and_deploy import BuildAndDeployWorkflow
from workflows.deploy import DeployWorkflow
from workflows.environment import EnvironmentWorkflow
from workflows.rescan import RescanWorkflow
from workflows.rollback import RollbackWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow

WORKFLOWS: Sequence[type] = (
    BuildAndDeployWorkflow,
    DeployWorkflow,
    RollbackWorkflow,
    EnvironmentWorkflow,
    WebhookDeliveryWorkflow,
    RescanWorkflow,
)

# Read once for all workflows, not anew in the sandbox of each: libraries and our own pure packages, and what workflows
# are composed of. 14 ms of computing for each workflow that starts become 4.
PURE = ("contracts", "domain", "pydantic", "pydantic_core", "annotated_types", "typing_inspection", "yaml")
COLLABORATORS = tuple(
    f"workflows.{module.name}"
    for module in pkgutil.iter_modules(workflows.__path__)
    if f"workflows.{module.name}" not in {defined.__module__ for defined in WORKFLOWS}
)


def sandbox(*, strict: bool = False) -> SandboxedWorkflowRunner:
    """The workflow sandbox.

    Args:
        strict: whether it also watches the collaborators for calls that are not deterministic. Tests run with it.
    """
    passed = PURE if strict else PURE + COLLABORATORS
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*passed))
