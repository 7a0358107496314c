"""What the Temporal UI shows for an operation from its start: one line, and a table."""

from contracts.operations import DeployInput, Order, RollbackInput
from contracts.payload import bounded

# Temporal accepts 400 bytes for a summary and 20,000 for details.
_SUMMARY = 120
_DETAIL = 500


def summary_of(order: Order) -> str:
    """`Deploy acme/shop 1.4.0 to dev`."""
    place = order.place
    what = f"{place.organization_slug}/{place.project_slug}"
    if isinstance(order, RollbackInput):
        return f"Roll back {bounded(what, _SUMMARY)} in {place.environment}"
    return f"Deploy {bounded(f'{what} {order.version_tag}', _SUMMARY)} to {place.environment}"


def details_of(order: Order) -> str:
    """The request as a markdown list."""
    place = order.place
    facts = {"host": place.host, "deployment": str(place.deployment_id), "requested by": place.requested_by}
    if isinstance(order, RollbackInput):
        facts |= {"reason": order.reason}
    elif isinstance(order, DeployInput):
        facts |= {"build": str(order.build_id), "strategy": order.chosen.strategy}
        if order.source:
            facts |= {"repository": order.source.repository_url, "commit": order.source.git_commit_hash}
    else:
        facts |= {
            "repository": order.repository_url,
            "branch": order.git_branch or "the default one",
            "commit": order.git_commit_hash or "the tip of the branch",
            "strategy": order.chosen.strategy,
        }
    return "\n".join(f"- {name}: `{_plain(value)}`" for name, value in facts.items())


def _plain(value: str) -> str:
    return bounded(" ".join(value.split()), _DETAIL).replace("`", "'")
