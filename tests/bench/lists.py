"""Lists of a thousand and of a million rows: the first page, and one far behind it by its cursor."""

import statistics
import time
from collections.abc import Iterator

import psycopg

from runtime.settings import Settings
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout
from tests.support.platform import Platform

SIZES = (1_000, 1_000_000)
LOOKS = 50
# Rows of one project, a second apart; ids rise with them as UUIDv7 do.
FILL = """
INSERT INTO requirements (id, organization_id, project_id, title, description, user_stories, acceptance_criteria,
                          status, tags, created_by, created_at, updated_at)
SELECT (lpad(to_hex(n), 8, '0') || substr(%(project)s::text, 9))::uuid, %(organization)s::uuid, %(project)s::uuid,
       'Wish ' || n, 'd', '[]', '["a"]', 'draft', '[]', 'bench', now() - make_interval(secs => n), now()
FROM generate_series(1, %(count)s) AS n
"""


def list_times(platform: Platform) -> Iterator[tuple[int, float, float]]:
    """Rows, and milliseconds (median) of the first page and of one in the middle of the list."""
    for count in SIZES:
        project = platform.api.create_project(platform.organization["id"], f"rows-{count}", "https://git.example.com/x")
        _fill(platform, project, count)
        path = f"/v1/projects/{project['id']}/requirements"
        yield count, _median_ms(platform, path), _median_ms(platform, f"{path}?cursor={_middle(platform, path, count)}")


def _middle(platform: Platform, path: str, count: int) -> str:
    """The cursor of a page in the middle, found by one deep page number."""
    answer = platform.api.raw("GET", f"{path}?page_size=100&page={count // 200}").json()
    cursor: str = answer["pagination"]["next_cursor"]
    return cursor


def _median_ms(platform: Platform, path: str) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        answer = platform.api.raw("GET", path)
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
    return statistics.median(times)


def _fill(platform: Platform, project: dict[str, str], count: int) -> None:
    settings = Settings(data_dir=platform.stack.data_dir)
    url = Composition(settings, Layout.make(settings), {}).postgres.url().replace("+psycopg", "")
    values = {"organization": platform.organization["id"], "project": project["id"], "count": count}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL, values)
        connection.execute("ANALYZE requirements")
