"""What the audit log says of a deed about a deployment."""

from typing import Any

from api.auth.principal import Principal
from runtime.ids import new_id
from storage.models import AuditEntry, Deployment


def deployment_entry(
    principal: Principal, deployment: Deployment, action: str, *, reason: str | None, request_id: str, **facts: Any
) -> AuditEntry:
    """The entry of one person's deed; `state` is the deployment's before it."""
    return AuditEntry(
        id=new_id(),
        organization_id=deployment.organization_id,
        actor=principal.subject[:255],
        action=f"deployment.{action}",
        resource_type="deployment",
        resource_id=deployment.id,
        reason=reason or None,
        request_id=request_id[:255],
        details={"state": deployment.status, **facts},
    )
