"""Orders: the options of a rollout are one value; those of older releases, which have them flat, stay readable."""

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from contracts.operations import ORDERS, DeployInput, options_of
from contracts.signatures import Signature, start_of, statement
from domain.lifecycle import OperationKind, Strategy
from domain.rollout_options import RolloutOptions

PLACE = {
    "operation_id": "00000000-0000-0000-0000-000000000001",
    "deployment_id": "00000000-0000-0000-0000-000000000002",
    "organization_id": "00000000-0000-0000-0000-000000000003",
    "project_id": "00000000-0000-0000-0000-000000000004",
    "environment_id": "00000000-0000-0000-0000-000000000005",
    "environment": "dev",
    "host": "dev.shop.acme.localhost",
    "organization_slug": "acme",
    "project_slug": "shop",
    "requested_by": "ann",
}
REST = {"version_tag": "1.2.0", "approval": None, "approved_by": [], "requester": None, "approvers": None}
# Orders as the release before `options` wrote them, and the SHA-256 of what it signed of each.
FLAT_BUILD = {
    **REST,
    "place": PLACE,
    "feature_id": "00000000-0000-0000-0000-000000000006",
    "repository_url": "https://git.example.com/a.git",
    "git_branch": None,
    "git_commit_hash": None,
    "strategy": "canary",
    "canary_percentage": 20,
    "skip_analysis": False,
    "override_freeze": True,
    "source_path": ".",
}
FLAT_DEPLOY = {
    **REST,
    "place": PLACE,
    "build_id": "00000000-0000-0000-0000-000000000007",
    "strategy": "rolling",
    "canary_percentage": None,
    "skip_analysis": True,
    "override_freeze": False,
    "source": None,
}
OLDER = [
    pytest.param(
        OperationKind.BUILD_AND_DEPLOY,
        FLAT_BUILD,
        RolloutOptions(strategy=Strategy.CANARY, canary_percentage=20, override_freeze=True),
        "5c23e0417c91c328e0b8150a1a885d0b7d3cc4579cd2deb989707ea80c38adf5",
        id="build_and_deploy",
    ),
    pytest.param(
        OperationKind.DEPLOY,
        FLAT_DEPLOY,
        RolloutOptions(strategy=Strategy.ROLLING, skip_analysis=True),
        "cf2e0310881fbd644bc7aa87ee82818df48d6882599f3fe4f112844a2459fef6",
        id="deploy",
    ),
]


def signed(kind: OperationKind, order: Any) -> str:
    signature = Signature(key_id="k1", signed_at=datetime(2026, 11, 1, tzinfo=UTC), nonce=UUID(int=9))
    return hashlib.sha256(statement("operation-x", start_of(kind), "ann", order, signature)).hexdigest()


@pytest.mark.parametrize(("kind", "kept", "options", "digest"), OLDER)
def test_an_order_of_an_older_release_means_the_same_and_its_signature_covers_the_same(kind, kept, options, digest):
    order = ORDERS[kind].model_validate(kept)
    again = ORDERS[kind].model_validate(order.model_dump(mode="json"))  # through a workflow's history
    assert order.chosen == again.chosen == options_of(kept) == options_of(order.model_dump(mode="json")) == options
    assert again == order
    assert signed(kind, order) == signed(kind, again) == digest


def test_the_signature_covers_nested_options():
    flat = DeployInput.model_validate(FLAT_DEPLOY)
    plain = {name: value for name, value in FLAT_DEPLOY.items() if name not in RolloutOptions.model_fields}
    seen = set()
    for options in (RolloutOptions(), flat.chosen, RolloutOptions(strategy=Strategy.CANARY, canary_percentage=5)):
        order = DeployInput.model_validate({**plain, "options": options.model_dump(mode="json")})
        assert order.chosen == options_of(order.model_dump(mode="json")) == options
        seen.add(signed(OperationKind.DEPLOY, order))
    assert len(seen | {signed(OperationKind.DEPLOY, flat)}) == 4


def test_flat_options_beside_nested_ones_count_for_nothing():
    """Nobody writes both, and what is signed has both."""
    both = DeployInput.model_validate({**FLAT_DEPLOY, "options": {"strategy": "blue_green"}})
    assert both.chosen == options_of(both.model_dump(mode="json")) == RolloutOptions(strategy=Strategy.BLUE_GREEN)
    assert signed(OperationKind.DEPLOY, both) != signed(OperationKind.DEPLOY, DeployInput.model_validate(FLAT_DEPLOY))


def test_an_order_without_options_is_none():
    with pytest.raises(ValidationError, match="options are missing"):
        DeployInput.model_validate({**FLAT_DEPLOY, "strategy": None})
    assert options_of({"reason": "a rollback has none"}) == RolloutOptions()
