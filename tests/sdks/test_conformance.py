"""The SDKs against the misbehaving server; tests/e2e/test_conformance.py has them against the real stack."""

import pytest

from sdks.conformance.play import play
from tests.support.conformance import Stages, wanted


@pytest.fixture(scope="module")
def stages():
    made = Stages()
    yield made
    made.close()


@pytest.mark.timeout(600)  # the first one of a language builds its runner
@pytest.mark.parametrize(("language", "scenario"), wanted(stack=False))
def test_scenario(stages, language, scenario):
    assert play(scenario, stages.of(language), None).fault is None
