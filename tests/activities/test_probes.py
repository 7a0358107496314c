import pytest

from activities.probes import Prober
from domain.errors import DependencyError
from tests.support.services import free_port


@pytest.fixture
async def prober():
    made = Prober("127.0.0.1", free_port())
    yield made
    await made.close()


async def test_a_router_that_is_away_says_nothing_of_the_version_behind_it(prober):
    with pytest.raises(DependencyError, match="takes no connections"):
        await prober.through_router("dev.shop.acme.localhost", "/healthz", 1)


async def test_an_instance_that_is_away_is_not_healthy(prober):
    probe = await prober.instance("127.0.0.1", free_port(), "/healthz", 1)
    assert not probe.healthy
    assert "ConnectError" in probe.words
