"""The id of an operation's workflow is fixed with the operation, and everybody asks for that one."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from contracts.operations import BuildAndDeployInput, RollbackInput
from domain.approvals import Action
from domain.permissions import Role
from runtime.ids import now
from storage.engine import transaction
from storage.models import Operation, Organization, Project
from tests.api.conftest import make_world


@pytest.fixture
async def place(platform, caller):
    return await make_world(platform, caller, f"ids-{uuid4()}")


async def row_of(rows, operation_id: str) -> Operation:
    async with transaction(rows) as session:
        return await session.get_one(Operation, UUID(operation_id))


async def change(rows, operation_id: str, **values: Any) -> None:
    async with transaction(rows) as session:
        await session.execute(update(Operation).where(Operation.id == UUID(operation_id)).values(**values))


@pytest.fixture
def names(place, rows):
    """The slugs as they are now."""

    async def read() -> str:
        async with transaction(rows) as session:
            organization = await session.get_one(Organization, UUID(place.org["id"]))
            project = await session.get_one(Project, UUID(place.project["id"]))
        return f"{organization.slug[:40]}/{project.slug[:40]}"

    return read


async def test_it_begins_with_what_reads_and_is_stored_with_the_row_and_its_order(
    *, place, rows, operations, build_of, names
):
    made = await build_of(place, "1.4.0", live=False)
    row = await row_of(rows, made["operation_id"])
    assert row.workflow_id == f"{await names()}/dev/1.4.0/{row.id}"
    order = BuildAndDeployInput.model_validate(operations.started[-1][1])
    assert order.place.workflow_id == row.workflow_id


async def test_a_rollback_says_what_it_takes_back(*, place, rows, operations, build_of, names, monkeypatch):
    monkeypatch.setattr("api.services.deployments.rollback.ANSWER_WITHIN_S", 0.0)  # nobody carries it out
    await build_of(place, "1.0.0")
    bad = await build_of(place, "1.1.0")
    operations.started.clear()
    await place.developer.post(f"/deployments/{bad['deployment_id']}/rollback", {"reason": "errors"})
    order = RollbackInput.model_validate(operations.started[-1][1])
    row = await row_of(rows, str(order.place.operation_id))
    assert row.workflow_id == order.place.workflow_id == f"{await names()}/dev/rollback-of-1.1.0/{row.id}"


async def test_a_slug_that_changes_changes_no_id(*, place, rows, build_of):
    made = await build_of(place, "1.0.0", live=False)
    before = (await row_of(rows, made["operation_id"])).workflow_id
    async with transaction(rows) as session:
        project = await session.get_one(Project, UUID(place.project["id"]))
        project.slug = f"renamed-{str(project.id)[-12:]}"
    assert (await row_of(rows, made["operation_id"])).workflow_id == before


@pytest.mark.parametrize("is_old", [False, True], ids=["readable", "of before"])
async def test_decisions_and_questions_go_to_the_id_that_the_row_has(
    *, place, rows, operations, build_of, monkeypatch, is_old
):
    """One that runs at the upgrade has the operation's own id, and keeps it."""
    made = await build_of(place, "1.0.0", live=False)
    operation_id = made["operation_id"]
    if is_old:
        await change(rows, operation_id, named_workflow_id=None)
    await change(rows, operation_id, workflow_started_at=now())
    asked: list[str] = []

    async def decide(workflow_id: str, action: Action, request: Any, *, key: str) -> None:
        del action, request, key
        asked.append(workflow_id)

    async def abort(workflow_id: str, request: Any) -> None:
        del request
        asked.append(workflow_id)

    async def progress(workflow_id: str) -> None:
        asked.append(workflow_id)

    monkeypatch.setattr(operations, "decide", decide)
    monkeypatch.setattr(operations, "abort", abort)
    monkeypatch.setattr(operations, "progress", progress)
    path = f"/deployments/{made['deployment_id']}"
    assert (await place.developer.post(f"{path}/pause")).status_code == 200
    assert (await place.developer.get(f"/operations/{operation_id}")).status_code == 200
    assert (await place.developer.post(f"{path}/abort", {"reason": "no"})).status_code in (200, 202)
    expected = (await row_of(rows, operation_id)).workflow_id
    assert (expected == operation_id) is is_old
    assert len(asked) >= 3
    assert set(asked) == {expected}


@pytest.fixture
def ui(settings, monkeypatch):
    monkeypatch.setitem(settings.__dict__, "temporal_ui_url", "https://ui.example.com/")  # frozen
    return "https://ui.example.com/namespaces/default/workflows"


async def test_platform_admins_are_told_where_the_temporal_ui_shows_it(*, place, rows, platform, build_of, ui):
    made = await build_of(place, "1.4.0+b.1", live=False)
    name = (await row_of(rows, made["operation_id"])).workflow_id.replace("/", "%2F").replace("+", "%2B")
    one, listed = f"/operations/{made['operation_id']}", f"/operations?project_id={place.project['id']}"
    for _ in range(2):  # answers are shared by pollers, but not between these two
        assert (await place.developer.get(one)).json()["data"]["temporal_ui_url"] is None
        assert (await platform.get(one)).json()["data"]["temporal_ui_url"] == f"{ui}/{name}"
    assert (await place.developer.get(listed)).json()["data"][0]["temporal_ui_url"] is None
    assert (await platform.get(listed)).json()["data"][0]["temporal_ui_url"] == f"{ui}/{name}"


async def test_an_admin_of_an_organization_is_not_told(*, place, caller, build_of, ui):
    """The UI shows the histories of all organizations."""
    del ui
    made = await build_of(place, "1.0.0", live=False)
    answer = await caller(Role.ADMIN, place.org["id"]).get(f"/operations/{made['operation_id']}")
    assert answer.json()["data"]["temporal_ui_url"] is None


async def test_without_an_address_nobody_is_told(*, place, platform, build_of):
    made = await build_of(place, "1.0.0", live=False)
    answer = await platform.get(f"/operations/{made['operation_id']}")
    assert answer.json()["data"]["temporal_ui_url"] is None
