"""The SDKs against the real stack: the scenarios of sdks/conformance that need it."""

import pytest

from sdks.conformance.play import play
from sdks.conformance.world import Home
from tests.support.conformance import Stages, wanted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stages():
    made = Stages()
    yield made
    made.close()


@pytest.fixture(scope="module")
def homes(platform):
    """An organization for each language."""
    made: dict[str, Home] = {}

    def home(language: str) -> Home:
        if language not in made:
            repositories = platform.stack.data_dir.parent / "repositories"
            made[language] = Home(platform.api.root, platform.stack.token(), repositories, language)
        return made[language]

    yield home
    for one in made.values():
        one.close()


@pytest.mark.parametrize(("language", "scenario"), wanted(stack=True))
def test_scenario(stages, homes, language, scenario):
    assert play(scenario, stages.of(language), homes(language)).fault is None
