"""DORA's metrics of an organization with ten thousand and a hundred thousand deployments in ninety days."""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from runtime.settings import Settings
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout
from tests.support.platform import Platform

SIZES = (10_000, 100_000)
LOOKS = 5
DAYS = (7, 90)
# Copies of one deployment with its operation and build, spread over ninety days, one of ten rolled back.
FILL = """
WITH made AS (
    SELECT n, gen_random_uuid() AS deployment, gen_random_uuid() AS operation, gen_random_uuid() AS build,
           now() - make_interval(secs => n * 90.0 * 86400 / %(count)s) AS live
    FROM generate_series(1, %(count)s) AS n
), operations_made AS (
    INSERT INTO operations
    SELECT (jsonb_populate_record(o, jsonb_build_object(
        'id', m.operation, 'resource_id', m.deployment, 'workflow_id', m.operation,
        'created_at', m.live - interval '9 min'
    ))).*
    FROM made m, operations o WHERE o.id = %(operation)s
), builds_made AS (
    INSERT INTO builds
    SELECT (jsonb_populate_record(b, jsonb_build_object(
        'id', m.build, 'operation_id', m.operation, 'build_number', m.n + 1000000, 'version_tag', '7.' || m.n || '.0',
        'committed_at', m.live - interval '1 hour'
    ))).*
    FROM made m, builds b WHERE b.id = %(build)s
)
INSERT INTO deployments
SELECT (jsonb_populate_record(d, jsonb_build_object(
    'id', m.deployment, 'operation_id', m.operation, 'build_id', m.build, 'git_commit_hash', md5(m.n::text),
    'live_at', m.live, 'status', CASE WHEN m.n %% 10 = 0 THEN 'rolled_back' ELSE 'success' END,
    'rolled_back_at', CASE WHEN m.n %% 10 = 0 THEN m.live + interval '7 min' END
))).*
FROM made m, deployments d WHERE d.id = %(deployment)s
"""


def query_times(platform: Platform) -> Iterator[tuple[int, int, float]]:
    """Deployments there are, days asked for, and milliseconds (median) of the answer."""
    for count in SIZES:
        organization = platform.api.create_organization(f"dora-{count}")
        shipped = platform.app(f"dora-{count}", organization=organization).ship_good()
        _fill(platform, shipped.operation["operation_id"], shipped.deployment, count)
        for days in DAYS:
            since = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
            path = f"/v1/organizations/{organization['id']}/delivery-metrics?since={since}"
            yield count, days, _median_ms(platform, path)


def _median_ms(platform: Platform, path: str) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        answer = platform.api.raw("GET", path)
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
    return statistics.median(times)


def _fill(platform: Platform, operation: str, deployment: dict[str, str], count: int) -> None:
    settings = Settings(data_dir=platform.stack.data_dir)
    url = Composition(settings, Layout.make(settings), {}).postgres.url().replace("+psycopg", "")
    values = {"operation": operation, "build": deployment["build_id"], "deployment": deployment["id"], "count": count}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL, values)
        connection.execute("ANALYZE")
