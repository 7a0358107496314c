"""Lists: by number and by cursor, complete in both orders, and as cheap at row 200,000 as at row 1."""

import re
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import text

from runtime.ids import new_id, now
from storage.cursors import Cursor
from storage.engine import transaction
from storage.estimates import explain
from storage.models import Project
from storage.repositories.base import COUNTED_EXACTLY, PageRequest
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.requirements import RequirementRepository
from storage.tenancy import PLATFORM, Tenant
from tests.api.conftest import BASE_URL, make_world
from tests.api.http.test_errors import check_error

MANY = 200_000
# A page of 20 rows, a descent through an index, and some room; a scan of the table would be thousands.
FEW_BUFFERS = 60
# At worst each of 10,001 rows is in another page of the table, and there are the pages of the index.
COUNTED_BUFFERS = 11_000


def links(response) -> dict[str, str]:
    found = {relation: url for url, relation in re.findall(r'<([^>]*)>; rel="([a-z]+)"', response.headers["link"])}
    assert all(url.startswith(BASE_URL + "/v1/") for url in found.values())
    return {relation: url.removeprefix(BASE_URL + "/v1") for relation, url in found.items()}


@pytest.fixture(scope="module")
async def named(platform, caller, rows) -> tuple:
    """Nine projects with equal names and times among them: only the id tells those apart."""
    world = await make_world(platform, caller, "paged")
    moments = [now() - timedelta(hours=1), now()]
    async with transaction(rows) as session:
        for number in range(8):
            project = Project(
                id=new_id(),
                organization_id=UUID(world.org["id"]),
                name="Same" if number < 4 else f"P{number}",
                slug=f"p{number}",
                host_label=f"p{number}",
                repository_url="https://git.example.com/acme/shop",
                created_at=moments[number % 2],
                updated_at=moments[number // 4],
            )
            session.add(project)
    return world, f"/organizations/{world.org['id']}/projects"


@pytest.fixture(scope="module")
async def many(rows, platform, caller) -> dict[str, UUID]:
    """A project with 200,000 requirements, a hundred of them per second."""
    world = await make_world(platform, caller, "many")
    ids = {"organization": UUID(world.org["id"]), "project": UUID(world.project["id"])}
    async with transaction(rows) as session:
        # The database is this module's own: 400,000 looks at the same two parents are left out.
        await session.execute(text("SET LOCAL statement_timeout = 0"))
        for parent in ("organization_id_organizations", "project_id_projects"):
            await session.execute(text(f"ALTER TABLE requirements DROP CONSTRAINT fk_requirements_{parent}"))
        await session.execute(
            text(
                "INSERT INTO requirements (id, organization_id, project_id, title, description, user_stories, "
                "acceptance_criteria, status, tags, created_by, created_at, updated_at) "
                "SELECT gen_random_uuid(), :organization, :project, 'T', 'D', '[]', '[]', 'draft', '[]', 'me', moment, "
                "moment FROM (SELECT timestamptz '2026-01-01Z' + (n / 100) * interval '1 second' AS moment "
                "FROM generate_series(1, :many) n) times"
            ),
            {**ids, "many": MANY},
        )
        await session.execute(text("ANALYZE requirements"))
    return {**ids, "caller": world.developer}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("column", ["name", "created_at", "updated_at"])
async def test_cursors_show_every_row_once_there_and_back(named, column, order):
    world, path = named
    sort = {"sort_by": column, "sort_order": order}
    whole = [row["id"] for row in (await world.developer.get(path, params={**sort, "page_size": 100})).json()["data"]]
    assert len(whole) == 9
    answer = await world.developer.get(path, params={**sort, "page_size": 2})
    seen, pages = [row["id"] for row in answer.json()["data"]], [answer.json()["data"]]
    cursor = answer.json()["pagination"]["next_cursor"]
    while cursor:
        answer = await world.developer.get(path, params={"cursor": cursor, "page_size": 2})
        pagination = answer.json()["pagination"]
        assert (pagination["page"], pagination["total"], pagination["pages"]) == (None, None, None)
        assert (pagination["has_next"], pagination["has_prev"]) == (len(seen) + 2 < 9, True)
        pages.append(answer.json()["data"])
        seen += [row["id"] for row in answer.json()["data"]]
        cursor = pagination["next_cursor"]
    assert seen == whole
    back = [pages.pop()]
    while "prev" in links(answer):
        answer = await world.developer.get(links(answer)["prev"])
        back.append(answer.json()["data"])
    assert [row["id"] for page in reversed(back) for row in page] == whole
    assert answer.json()["pagination"]["has_prev"] is False
    assert links(answer)["next"]


async def test_links_lead_through_the_pages_and_keep_the_question(named):
    world, path = named
    first = await world.developer.get(path, params={"page_size": 4, "sort_by": "name", "search": "a&b=ü"})
    assert (first.json()["data"], set(links(first))) == ([], {"first"})
    first = await world.developer.get(path, params={"page_size": 4, "sort_by": "name", "sort_order": "asc"})
    assert set(links(first)) == {"first", "next", "last"}
    second = await world.developer.get(links(first)["next"])
    assert set(links(second)) == {"first", "prev", "next", "last"}
    assert links(second)["last"].endswith("page=3")
    assert "sort_by=name" in urlsplit(links(second)["last"]).query
    last = await world.developer.get(links(second)["last"])
    assert (len(last.json()["data"]), last.json()["pagination"]["has_next"]) == (1, False)
    assert set(links(last)) == {"first", "prev", "last"}
    assert (await world.developer.get(links(last)["first"])).json()["data"] == first.json()["data"]
    past = await world.developer.get(path, params={"page": 9, "page_size": 4})
    assert (past.status_code, past.json()["data"]) == (200, [])
    assert links(past)["prev"].endswith("page=3")


async def test_a_bad_cursor_is_400_and_names_the_field(named):
    world, path = named
    page = (await world.developer.get(path, params={"page_size": 2})).json()["pagination"]
    good = page["next_cursor"]
    other = Cursor("name", True, "x", UUID(world.org["id"]))
    bad = [
        "",
        "x",
        "ü",
        "a" * 5000,
        good[:-2],
        good + "=",
        good + "A",
        good.swapcase(),
        "W10",
        "bnVsbA",
        Cursor("host_label", True, "x", other.row_id).token(),
        Cursor("created_at", True, "x", other.row_id).token(),
        Cursor("created_at", True, 7, other.row_id).token(),
        "[" * 2000,
    ]
    for cursor in bad:
        response = await world.developer.get(path, params={"cursor": cursor})
        assert check_error(response, 400, "VALIDATION_ERROR")["details"][0]["field"] == "cursor", cursor
    for more in ({"page": 1}, {"sort_by": "name"}, {"sort_order": "asc"}):
        response = await world.developer.get(path, params={"cursor": good, **more})
        assert check_error(response, 400, "VALIDATION_ERROR")["details"][0]["field"] == "cursor", more
    same_order = {"cursor": good, "sort_by": "created_at", "sort_order": "desc"}
    assert (await world.developer.get(path, params=same_order)).status_code == 200
    requirements = f"/projects/{world.project['id']}/requirements"
    response = await world.developer.get(requirements, params={"cursor": other.token()})
    check_error(response, 400, "VALIDATION_ERROR")


async def test_a_long_list_is_estimated_and_walked_by_cursor(many):
    path = f"/projects/{many['project']}/requirements"
    first = await many["caller"].get(path)
    pagination = first.json()["pagination"]
    assert pagination["total_is_estimate"] is True
    assert 0.5 * MANY < pagination["total"] < 2 * MANY
    assert pagination["has_next"] is True
    assert set(links(first)) == {"first", "next"}
    deep = await many["caller"].get(path, params={"page": 9_990, "page_size": 20})
    assert len(deep.json()["data"]) == 20
    after = await many["caller"].get(path, params={"cursor": deep.json()["pagination"]["next_cursor"]})
    by_number = await many["caller"].get(path, params={"page": 9_991})
    assert after.json()["data"] == by_number.json()["data"]
    last = (await many["caller"].get(path, params={"page": 2_002, "page_size": 100})).json()
    assert (last["data"], last["pagination"]["has_next"]) == ([], False)
    last = (await many["caller"].get(path, params={"page": 2_001, "page_size": 100})).json()
    assert (last["pagination"]["total"], last["pagination"]["total_is_estimate"]) == (MANY + 1, False)


async def test_first_page_and_deep_cursor_come_from_an_index(many, rows):
    async with transaction(rows) as session:
        repository = RequirementRepository(session, Tenant(many["organization"]))
        statement = repository.base().where(repository.model.project_id == many["project"])
        moment, row_id = (
            await session.execute(
                text("SELECT created_at, id FROM requirements ORDER BY created_at, id OFFSET 150000 LIMIT 1")
            )
        ).one()
        windows = [repository.numbered(statement, PageRequest())]
        windows += [
            repository.following(statement, Cursor("created_at", down, moment, row_id, back), 21)
            for down in (True, False)
            for back in (True, False)
        ]
        for window in windows:
            plan = await explain(session, window, measure=True)
            assert plan["Actual Rows"] == 21
            assert scans(plan) == {("Index Scan", "ix_requirements_project_id_created_at_id")}
            assert buffers(plan) < FEW_BUFFERS


async def test_counting_stops_early_and_walks_an_index(many, rows):
    async with transaction(rows) as session:
        repository = RequirementRepository(session, Tenant(many["organization"]))
        statement = repository.base().where(repository.model.project_id == many["project"])
        plan = await explain(session, repository.counting(statement, PageRequest()), measure=True)
        [limit] = plan["Plans"]
        while limit["Node Type"] != "Limit":
            [limit] = limit["Plans"]
        assert limit["Actual Rows"] == COUNTED_EXACTLY + 1
        assert {name for _, name in scans(limit)} == {"ix_requirements_project_id_created_at_id"}
        assert buffers(plan) < COUNTED_BUFFERS


async def test_platform_admins_walk_all_organizations_by_index(rows, platform, named):
    async with transaction(rows) as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        repository = OrganizationRepository(session, PLATFORM)
        for column in ("name", "created_at", "updated_at"):
            plan = await explain(session, repository.numbered(repository.base(), PageRequest(sort_by=column)))
            assert scans(plan) == {("Index Scan", f"ix_organizations_{column}_id")}


def scans(plan: dict) -> set[tuple[str, str]]:
    below = set().union(*[scans(child) for child in plan.get("Plans", [])])
    assert plan["Node Type"] in {"Limit", "Index Scan"}, plan
    return below | ({(plan["Node Type"], plan["Index Name"])} if "Index Name" in plan else set())


def buffers(plan: dict) -> int:
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
