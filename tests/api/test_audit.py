"""Every change made through the API leaves an entry that says who, from where and what; secrets never get in."""

import ast
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from api.auth import actor
from api.services import audit, audited_writes
from api.services.deployments import rollback
from domain.audit import MAX_CHANGES, MAX_VALUE, difference, is_secret, noun_of
from domain.permissions import Role
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import AuditEntry, AuditLink, Client, IdempotencyKey
from tests.api.bodies import CASE, RESULT
from tests.api.conftest import make_world

API = Path(__file__).resolve().parents[2] / "api"


@pytest.fixture
async def fresh(platform, caller):
    return await make_world(platform, caller, f"o{new_id()}")


@pytest.fixture
def entries(rows):
    """What the log says of a resource, oldest first."""

    async def read(resource_id: str) -> list[AuditEntry]:
        found = select(AuditEntry).where(AuditEntry.resource_id == UUID(resource_id))
        async with transaction(rows) as session:
            return list(await session.scalars(found.order_by(AuditEntry.id)))

    return read


@pytest.fixture
def length(rows):
    async def count() -> int:
        async with transaction(rows) as session:
            return await session.scalar(select(func.count()).select_from(AuditEntry)) or 0

    return count


async def test_a_change_says_who_from_where_and_what(fresh, entries):
    path = f"/features/{fresh.feature['id']}"
    response = await fresh.developer.patch(path, {"name": "Cart", "complexity_points": 5})
    created, updated = await entries(fresh.feature["id"])
    assert (created.action, updated.action) == ("feature.created", "feature.updated")
    assert created.changes["name"] == {"to": "Basket"}
    assert updated.changes == {"name": {"from": "Basket", "to": "Cart"}, "complexity_points": {"from": None, "to": 5}}
    assert (updated.actor, updated.credential) == (fresh.developer.subject, f"user:{fresh.developer.subject}")
    assert (updated.address, updated.request_id) == ("127.0.0.1", response.headers["x-request-id"])
    assert str(updated.organization_id) == fresh.org["id"]


async def test_what_changes_nothing_leaves_nothing(fresh, entries, length):
    before = await length()
    path = f"/features/{fresh.feature['id']}"
    assert (await fresh.developer.patch(path, {"name": "Basket"})).status_code == 200
    assert (await fresh.developer.get(path)).status_code == 200
    assert (await fresh.developer.patch(path, {"name": ""})).status_code == 400
    assert (await fresh.developer.http.delete(path)).status_code == 403
    assert await length() == before


async def test_a_deletion_keeps_what_there_was(fresh, entries):
    await fresh.manager.http.delete(f"/features/{fresh.feature['id']}")
    [_, deleted] = await entries(fresh.feature["id"])
    assert (deleted.action, deleted.changes["name"]) == ("feature.deleted", {"from": "Basket"})


async def test_a_repeated_request_is_one_deed(fresh, entries):
    headers = {"Idempotency-Key": "one"}
    path = f"/requirements/{fresh.requirement['id']}"
    for _ in range(2):
        await fresh.developer.patch(path, {"title": "Sell more"}, headers=headers)
    assert [entry.action for entry in await entries(fresh.requirement["id"])] == [
        "requirement.created",
        "requirement.updated",
    ]


async def test_changing_requests_leave_an_entry(*, app, fresh, platform, caller, build_of, end, length, monkeypatch):
    """One good request for each operation that changes something; `test_rows_are_written_by_the_seam_alone` guards."""
    monkeypatch.setattr(rollback, "ANSWER_WITHIN_S", 0.1)  # nobody carries the rollback out
    org, project, feature = fresh.org["id"], fresh.project["id"], fresh.feature["id"]
    admin = caller(Role.ADMIN, org)
    live, failed = await build_of(fresh, "1.0.0"), await build_of(fresh, "2.0.0", live=False)
    await end(failed["deployment_id"], "failed")
    running = await build_of(fresh, "3.0.0", live=False)
    await build_of(fresh, "4.0.0", environment="staging")
    newer = await build_of(fresh, "5.0.0", environment="staging")
    case = await fresh.developer.made(f"/features/{feature}/tests", CASE)
    doomed = await fresh.developer.made(
        f"/requirements/{fresh.requirement['id']}/features", {"name": "Gone", "description": "soon"}
    )
    other = await make_world(platform, caller, f"o{new_id()}")
    deploy = {"version_tag": "9.0.0", "git_branch": "main", "environment": "dev"}
    repository = "https://git.example.com/acme/x"
    deployment, why = f"/deployments/{running['deployment_id']}", {"reason": "because"}
    tries: dict[str, tuple[Any, str, str, Any]] = {
        "create_organization": (platform, "post", "/organizations", {"name": "New", "slug": f"n{new_id()}"}),
        "change_organization": (admin, "patch", f"/organizations/{org}", {"description": "d"}),
        "create_project": (
            admin,
            "post",
            f"/organizations/{org}/projects",
            {"name": "Two", "slug": "two", "repository_url": repository},
        ),
        "change_project": (admin, "patch", f"/projects/{project}", {"description": "d"}),
        "create_requirement": (
            admin,
            "post",
            f"/projects/{project}/requirements",
            {"title": "abc", "description": "d", "acceptance_criteria": ["x"]},
        ),
        "change_requirement": (admin, "patch", f"/requirements/{fresh.requirement['id']}", {"title": "other"}),
        "create_feature": (
            admin,
            "post",
            f"/requirements/{fresh.requirement['id']}/features",
            {"name": "abc", "description": "d"},
        ),
        "change_feature": (admin, "patch", f"/features/{feature}", {"description": "x"}),
        "change_feature_status": (admin, "patch", f"/features/{feature}/status", {"status": "in_progress"}),
        "create_test_case": (admin, "post", f"/features/{feature}/tests", CASE),
        "change_test_case": (admin, "patch", f"/testcases/{case['id']}", {"description": "x"}),
        "record_test_result": (admin, "post", f"/testcases/{case['id']}/results", RESULT),
        "delete_test_case": (admin, "delete", f"/testcases/{case['id']}", None),
        "delete_feature": (admin, "delete", f"/features/{doomed['id']}", None),
        "report_build": (
            admin,
            "post",
            f"/features/{feature}/builds",
            {"version_tag": "8.0.0", "git_branch": "main", "git_commit_hash": "abc123d"},
        ),
        "build_and_deploy": (admin, "post", f"/features/{feature}/build-and-deploy", deploy),
        "deploy": (admin, "post", f"/builds/{live['build_id']}/deploy", {"environment": "dev"}),
        "retry": (admin, "post", f"/deployments/{failed['deployment_id']}/retry", why),
        **{
            action: (admin, "post", f"{deployment}/{action}", why)
            for action in ("approve", "reject", "pause", "resume", "promote", "abort")
        },
        "cancel_operation": (admin, "post", f"/operations/{running['operation_id']}/cancel", {}),
        "roll_back": (admin, "post", f"/deployments/{newer['deployment_id']}/rollback", why),
        "change_environment": (admin, "patch", f"/projects/{project}/environments/dev", {"policy": "reject"}),
        "delete_project": (platform, "delete", f"/projects/{other.project['id']}", None),
        "restore_project": (platform, "post", f"/projects/{other.project['id']}/restore", {}),
    }
    for name, (who, method, url, body) in tries.items():
        before = await length()
        options = {} if body is None else {"json": body}
        response = await who.http.request(method.upper(), url, **options)
        assert response.status_code < 300, (name, response.text)
        assert await length() > before, name
    changing = {
        operation["operationId"]
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if method != "get"
    }
    assert tries.keys() <= changing


def test_rows_are_written_by_the_seam_alone():
    """What the API adds to a session or deletes from it goes through `api.services.audited_writes`, which audits it."""
    # An operation is named in the entry of the deployment it is for.
    allowed = {"services/audited_writes.py", "services/deployments/start.py"}
    found = [
        (path.relative_to(API).as_posix(), node.lineno)
        for path in API.rglob("*.py")
        if path.relative_to(API).as_posix() not in allowed
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"add", "add_all", "delete", "merge"}
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "session"
    ]
    assert found == []


async def test_a_secret_is_never_shown(rows, fresh, entries):
    planted = "s3cr3t-planted"
    client = Client(
        id=new_id(),
        organization_id=UUID(fresh.org["id"]),
        kind="application",
        name=f"https://ann:{planted}@example.com/app",
        secret_hash=planted,
        scopes=[],
        redirect_uris=[{"api_key": planted}],
        created_by="ann",
    )
    async with transaction(rows) as session:
        await audited_writes.add(session, client)
        await audited_writes.change(session, client, {"secret_hash": planted + "2"})
        await audited_writes.remove(session, client)
    created, updated, deleted = await entries(str(client.id))
    assert updated.changes == {"secret_hash": {"changed": True}}
    assert created.changes["name"] == {"to": "https://(hidden)@example.com/app"}
    assert deleted.action == "client.deleted"
    async with transaction(rows) as session:
        log = await session.scalars(text("SELECT audit_log::text FROM audit_log"))
        assert not [line for line in log if planted in line]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("password_hash", "api_key", "value_sealed", "tokenHash", "DB_PASSWORD", "secret")),
        *((name, False) for name in ("git_commit_hash", "name", "monkey", "keyboard", "hashtag_count")),
    ],
)
def test_names_that_hold_secrets(name, secret):
    assert is_secret(name) is secret


def test_an_entry_is_bounded():
    [change] = difference({"text": "ä" * 20_000}, {"text": ""}).values()
    assert len(change["from"].encode()) <= MAX_VALUE + 3
    many = difference({}, {f"field{n}": "x" * 900 for n in range(100)})
    assert len(many) == 100
    assert sum("to" in change for change in many.values()) == MAX_CHANGES // 910
    assert noun_of("test_cases"), noun_of("policies") == ("test_case", "policy")


async def test_a_refused_login_stands_in_the_platforms_log(rows):
    async with transaction(rows) as session:
        with actor.acting("192.0.2.7", "req-1"):
            await audit.record(
                session, "login.refused", resource_type="user", actor="ann@example.com", reason="wrong password"
            )
    async with transaction(rows) as session:
        [entry] = await session.scalars(select(AuditEntry).where(AuditEntry.action == "login.refused"))
        link = await session.get_one(AuditLink, entry.id)
    assert (entry.organization_id, entry.resource_id, entry.actor) == (None, None, "ann@example.com")
    assert (entry.address, entry.request_id) == ("192.0.2.7", "req-1")
    assert link.chain == UUID(int=0)


async def test_outside_of_requests_the_system_acts(rows):
    key = IdempotencyKey(
        principal="p", key="k", method="POST", path="/", request_hash="", status=200, body=b"", expires_at=func.now()
    )
    async with transaction(rows) as session:
        await audited_writes.add(session, key)
    async with transaction(rows) as session:
        [entry] = await session.scalars(select(AuditEntry).where(AuditEntry.resource_type == "idempotency_key"))
    assert (entry.actor, entry.address, entry.resource_id) == ("system", None, None)
