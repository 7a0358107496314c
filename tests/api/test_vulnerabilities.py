"""Vulnerabilities: listed, read, triaged, counted, by whom and until when."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text, update

from domain.findings import Severity
from domain.permissions import Role
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.estimates import explain
from storage.models import Vulnerability
from storage.repositories.base import PageRequest
from storage.repositories.vulnerabilities import VulnerabilityFilter, VulnerabilityRepository
from storage.tenancy import Tenant
from tests.api.conftest import make_world
from tests.api.http.test_errors import check_error
from tests.support.findings import code_finding, finding, record_scan

RULE = "GHSA-9hjg-9r4m-mvj7"


@pytest.fixture
async def fresh(platform, caller, request):
    slug = request.node.name.translate(str.maketrans("_[].", "----")).lower()
    return await make_world(platform, caller, slug[:200].strip("-"))


@pytest.fixture
async def found(fresh, build_of, rows):
    """A live build with a high and a medium one, and their ids by rule."""
    made = await build_of(fresh, "1.0.0")
    findings = (finding(), code_finding())
    kept = await record_scan(rows, made["build_id"], *findings)
    return {**made, **{one.rule: str(kept.ids[one.fingerprint]) for one in findings}}


@pytest.fixture(scope="module")
async def one(world, build_of, rows) -> str:
    """One that stays as it is."""
    made, found = await build_of(world, "3.0.0", live=False), finding()
    return str((await record_scan(rows, made["build_id"], found)).ids[found.fingerprint])


def suppression(**more) -> dict:
    order = {"reason": "not_affected", "expires_at": (now() + timedelta(days=7)).isoformat(), **more}
    return {"status": "suppressed", "suppression": order}


async def listed(who, path, **params) -> list[str]:
    answer = await who.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return [row["rule"] for row in answer.json()["data"]]


async def test_what_a_scan_found_is_listed_with_where_it_is_live(fresh, found):
    path = f"/projects/{fresh.project['id']}/vulnerabilities"
    [first, second] = (await fresh.developer.get(path)).json()["data"]
    assert (
        first.items()
        >= {
            "id": found[RULE],
            "project_id": fresh.project["id"],
            "kind": "dependency",
            "severity": "high",
            "cvss_score": 7.5,
            "rule": RULE,
            "aliases": ["CVE-2024-47081"],
            "ecosystem": "PyPI",
            "package": "requests",
            "package_version": "2.19.0",
            "fixed_versions": ["2.32.4"],
            "location": {"path": "requirements.txt", "line": None},
            "status": "open",
            "suppression": None,
            "first_build_id": found["build_id"],
        }.items()
    )
    assert (second["rule"], second["location"]) == ("B602", {"path": "app.py", "line": 7})
    [live] = first["affected_releases"]
    assert live == {
        "environment": "dev",
        "release_id": found["deployment_id"],
        "deployment_id": found["deployment_id"],
        "build_id": found["build_id"],
        "build_number": 1,
        "version_tag": "1.0.0",
        "package_version": "2.19.0",
    }
    assert (await fresh.developer.get(f"/vulnerabilities/{found[RULE]}")).json()["data"] == first
    of_build = await fresh.developer.get(f"/builds/{found['build_id']}/vulnerabilities")
    assert of_build.json()["data"] == [first, second]
    build = (await fresh.developer.get(f"/builds/{found['build_id']}")).json()["data"]
    counts = [build[f"vulnerabilities_{level}"] for level in ("critical", "high", "medium", "low", "unknown")]
    assert counts == [0, 1, 1, 0, 0]


async def test_lists_are_filtered_and_sorted(fresh, found, build_of, rows):
    old, path = found["build_id"], f"/projects/{fresh.project['id']}/vulnerabilities"
    new = await build_of(fresh, "1.1.0", live=False)
    await record_scan(rows, new["build_id"], finding(version="2.20.0"), finding("PYSEC-1", Severity.UNKNOWN, name="x"))
    who = fresh.developer
    assert await listed(who, path) == [RULE, "B602", "PYSEC-1"]
    assert await listed(who, path, sort_order="asc") == ["PYSEC-1", "B602", RULE]
    assert await listed(who, path, sort_by="created_at", sort_order="asc") == [RULE, "B602", "PYSEC-1"]
    assert await listed(who, path, severity="high") == [RULE]
    assert await listed(who, path, severity="unknown") == ["PYSEC-1"]
    assert await listed(who, path, status="fixed") == ["B602"]
    assert await listed(who, path, status="open") == [RULE, "PYSEC-1"]
    assert await listed(who, path, kind="code") == ["B602"]
    assert await listed(who, path, package="requests") == [RULE]
    assert await listed(who, path, environment="dev") == [RULE, "B602"]
    assert await listed(who, path, environment="production") == []
    [same] = (await who.get(f"/builds/{old}/vulnerabilities", params={"package": "requests"})).json()["data"]
    assert same["package_version"] == "2.19.0"
    for page in (1, 2, 3):
        assert len(await listed(who, path, page_size=1, page=page)) == 1
    answer = (await who.get(path, params={"page_size": 2})).json()
    assert await listed(who, path, cursor=answer["pagination"]["next_cursor"]) == ["PYSEC-1"]
    for name, bad in (
        ("severity", "bad"),
        ("status", "gone"),
        ("kind", "x"),
        ("environment", "x"),
        ("package", "\x00"),
    ):
        refused = check_error(await who.get(path, params={name: bad}), 400, "VALIDATION_ERROR")
        assert refused["details"][0]["field"] == name


async def test_a_project_counts_what_is_neither_suppressed_nor_fixed(fresh, found):
    path = f"/projects/{fresh.project['id']}"
    data = (await fresh.developer.get(path)).json()["data"]
    assert data["vulnerabilities"] == {"critical": 0, "high": 1, "medium": 1, "low": 0, "unknown": 0}
    await fresh.manager.patch(f"/vulnerabilities/{found[RULE]}", suppression())
    await fresh.manager.patch(f"/vulnerabilities/{found['B602']}", {"status": "acknowledged"})
    answer = await fresh.developer.get(path)
    assert answer.json()["data"]["vulnerabilities"] == {"critical": 0, "high": 0, "medium": 1, "low": 0, "unknown": 0}
    [row] = (await fresh.developer.get(f"/organizations/{fresh.org['id']}/projects")).json()["data"]
    assert row == answer.json()["data"]
    patched = await fresh.developer.patch(path, {"name": "Other"}, headers={"If-Match": answer.headers["etag"]})
    assert patched.status_code == 200, patched.text
    again = await fresh.developer.get(path)
    assert again.headers["etag"] == patched.headers["etag"]


async def test_a_vulnerability_is_triaged_and_audited(fresh, found, caller):
    path = f"/vulnerabilities/{found[RULE]}"
    changed = await fresh.manager.patch(path, {**suppression(), "note": "never called with a URL of others"})
    assert changed.status_code == 200, changed.text
    data = changed.json()["data"]
    assert (data["status"], data["suppression"]["reason"]) == ("suppressed", "not_affected")
    assert (data["triaged_by"], data["note"]) == (fresh.manager.subject, "never called with a URL of others")
    assert (await fresh.developer.get(path)).headers["etag"] == changed.headers["etag"]
    longer = await fresh.manager.patch(path, {"suppression": suppression(reason="mitigated")["suppression"]})
    assert longer.json()["data"]["suppression"]["reason"] == "mitigated"
    opened = (await fresh.manager.patch(path, {"status": "open"})).json()["data"]
    assert (opened["status"], opened["suppression"]) == ("open", None)
    admin = caller(Role.ADMIN, fresh.org["id"])
    log = (await admin.get(f"/organizations/{fresh.org['id']}/audit-log")).json()["data"]
    actions = [entry["action"] for entry in log if entry["resource_id"] == found[RULE]]
    assert actions == ["vulnerability.opened", "vulnerability.suppressed", "vulnerability.suppressed"]


async def test_an_expired_suppression_counts_again_by_itself(fresh, found, rows):
    await fresh.manager.patch(f"/vulnerabilities/{found[RULE]}", suppression())
    async with transaction(rows) as session:
        of_it = update(Vulnerability).where(Vulnerability.id == UUID(found[RULE]))
        await session.execute(of_it.values(suppressed_until=now() - timedelta(seconds=1)))
    data = (await fresh.developer.get(f"/vulnerabilities/{found[RULE]}")).json()["data"]
    assert (data["status"], data["suppression"]) == ("open", None)
    path = f"/projects/{fresh.project['id']}"
    assert await listed(fresh.developer, path + "/vulnerabilities", status="open") == [RULE, "B602"]
    assert await listed(fresh.developer, path + "/vulnerabilities", status="suppressed") == []
    assert (await fresh.developer.get(path)).json()["data"]["vulnerabilities"]["high"] == 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, None),
        ({"status": "fixed"}, 400, "status"),
        ({"status": "SUPPRESSED"}, 400, "status"),
        ({"status": "suppressed"}, 400, "suppression"),
        ({"suppression": suppression()["suppression"]}, 400, "status"),
        ({"suppression": None}, 400, "status"),
        ({**suppression(), "status": "open"}, 400, "suppression"),
        (suppression(reason="because"), 400, "suppression.reason"),
        (suppression(reason=None), 400, "suppression.reason"),
        (suppression(expires_at="2099-01-01T00:00:00"), 400, "suppression.expires_at"),
        (suppression(expires_at="soon"), 400, "suppression.expires_at"),
        (suppression(expires_at="2020-01-01T00:00:00Z"), 422, None),
        (suppression(expires_at="0001-01-01T00:00:00+14:00"), 422, None),
        (suppression(expires_at="9999-12-31T23:59:59-14:00"), 422, None),
        (suppression(until="x"), 400, "suppression.until"),
        ({"note": "a\x00b"}, 400, "note"),
        ({"note": "x" * 4001}, 400, "note"),
        ({"severity": "low"}, 400, "severity"),
    ],
)
async def test_bad_decisions_are_refused(world, one, body, status, field):
    path = f"/vulnerabilities/{one}"
    before = (await world.manager.get(path)).json()["data"]
    refused = await world.manager.patch(path, body)
    error = check_error(refused, status, "VALIDATION_ERROR" if status == 400 else "UNPROCESSABLE")
    if field:
        assert [fault["field"] for fault in error["details"]] == [field]
    assert (await world.manager.get(path)).json()["data"] == before


async def test_who_may_suppress_what_and_for_how_long(fresh, found, caller, build_of, rows):
    path = f"/vulnerabilities/{found[RULE]}"
    check_error(await fresh.developer.patch(path, suppression()), 403, "AUTHORIZATION_DENIED")
    half_a_year = suppression(expires_at=(now() + timedelta(days=180)).isoformat())
    check_error(await fresh.manager.patch(path, half_a_year), 403, "AUTHORIZATION_DENIED")
    admin = caller(Role.ADMIN, fresh.org["id"])
    assert (await admin.patch(path, half_a_year)).status_code == 200
    check_error(
        await admin.patch(path, suppression(expires_at=(now() + timedelta(days=366)).isoformat())),
        422,
        "UNPROCESSABLE",
    )
    made = await build_of(fresh, "2.0.0", live=False)
    worst = finding("GHSA-worst", Severity.CRITICAL)
    kept = await record_scan(rows, made["build_id"], worst)
    critical = f"/vulnerabilities/{kept.ids[worst.fingerprint]}"
    check_error(await fresh.manager.patch(critical, suppression()), 403, "AUTHORIZATION_DENIED")
    assert (await fresh.manager.patch(critical, {"status": "acknowledged"})).status_code == 200
    assert (await admin.patch(critical, suppression())).status_code == 200
    assert (await fresh.manager.patch(critical, {"status": "open"})).status_code == 200


async def test_what_is_others_is_not_there(fresh, other_world, found):
    other = other_world.manager
    for path in (
        f"/vulnerabilities/{found[RULE]}",
        f"/projects/{fresh.project['id']}/vulnerabilities",
        f"/builds/{found['build_id']}/vulnerabilities",
    ):
        check_error(await other.get(path), 404, "RESOURCE_NOT_FOUND")
    check_error(await other.patch(f"/vulnerabilities/{found[RULE]}", suppression()), 404, "RESOURCE_NOT_FOUND")
    check_error(await other.get(f"/vulnerabilities/{new_id()}"), 404, "RESOURCE_NOT_FOUND")
    check_error(await other.get("/vulnerabilities/x"), 404, "RESOURCE_NOT_FOUND")
    assert (await fresh.developer.get(f"/vulnerabilities/{found[RULE]}")).json()["data"]["status"] == "open"


async def test_what_is_fixed_cannot_be_suppressed(fresh, found, build_of, rows):
    await record_scan(rows, (await build_of(fresh, "1.1.0"))["build_id"])
    refused = await fresh.manager.patch(f"/vulnerabilities/{found[RULE]}", suppression())
    check_error(refused, 400, "INVALID_STATE")
    noted = await fresh.manager.patch(f"/vulnerabilities/{found[RULE]}", {"note": "gone with 1.1.0"})
    assert noted.json()["data"]["status"] == "fixed"


async def test_two_who_saw_the_same_do_not_both_change_it(fresh, found):
    path = f"/vulnerabilities/{found[RULE]}"
    etag = (await fresh.manager.get(path)).headers["etag"]
    bodies = ({"status": "acknowledged"}, suppression())
    answers = await asyncio.gather(*(fresh.manager.patch(path, body, headers={"If-Match": etag}) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_the_first_page_of_many_comes_from_an_index(fresh, found, rows):
    async with transaction(rows) as session:
        row = await session.get_one(Vulnerability, UUID(found[RULE]))
        columns = [column.key for column in Vulnerability.__table__.columns if column.key not in {"id", "fingerprint"}]
        names = ", ".join(columns)
        await session.execute(
            text(
                f"INSERT INTO vulnerabilities (id, fingerprint, {names}) SELECT gen_random_uuid(), "  # noqa: S608 - our columns
                f"md5(n::text) || md5(n::text), {names} FROM vulnerabilities, generate_series(1, 20000) n "
                "WHERE id = :id"
            ),
            {"id": row.id},
        )
        await session.execute(text("ANALYZE vulnerabilities"))
        repository = VulnerabilityRepository(session, Tenant(row.organization_id))
        for column in ("severity_rank", "created_at", "last_seen_at"):
            statement = repository.listed(row.project_id, VulnerabilityFilter())
            plan = await explain(session, repository.numbered(statement, PageRequest(sort_by=column)), measure=True)
            assert plan["Plans"][0]["Node Type"] == "Index Scan", plan
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100, plan
