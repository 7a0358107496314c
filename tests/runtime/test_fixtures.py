"""The fixtures everybody stands on."""

from collections.abc import Callable

from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from storage.engine import Sessions, transaction


async def test_a_module_has_a_migrated_database_of_its_own(sessions: Sessions):
    async with transaction(sessions) as session:
        tables = await session.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        role = await session.scalar(text("SELECT current_user"))
    assert tables > 10
    assert role == "delivery"


async def test_temporal_answers(temporal_env: WorkflowEnvironment):
    assert await temporal_env.client.service_client.check_health()


async def test_time_skipping_starts_without_a_download(time_skipping_env):
    async with await time_skipping_env() as environment:
        assert environment.supports_time_skipping


def test_ports_differ(free_port: Callable[[], int]):
    assert len({free_port() for _ in range(20)}) == 20
