"""What a stranger's build and instance try in vain, and that each attempt is worth something."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from drivers import sandbox
from tests.drivers.shim.helpers import marker, with_argument
from tests.isolation.attempts import ATTEMPTS, EXCESSES, Attempt, Control, Excess
from tests.isolation.world import Outcome, made

LOUD = (
    "NOT TESTED: this machine forbids user namespaces, so nothing can run isolated here (and the engine refuses to "
    "start with DELIVERY_TRUSTED_CODE=false)"
)
pytestmark = pytest.mark.skipif(not sandbox.available(), reason=LOUD)
TRIED = [(place, each) for each in ATTEMPTS for place in each.places]
CONTROLLED = [each for each in ATTEMPTS if each.control is not Control.NOBODY]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Outcome]]:
    """Of all attempts from all places, made once."""

    async def collect(root: Path) -> dict[str, dict[str, Outcome]]:
        async with made(root) as world:
            build, instance = await world.from_build(), await world.from_instance()
            return {"build": build, "instance": instance, "outside": await asyncio.to_thread(world.from_outside)}

    return asyncio.run(collect(tmp_path_factory.mktemp("isolation")))


@pytest.mark.parametrize(("place", "attempt"), TRIED, ids=[f"{place}-{each.name}" for place, each in TRIED])
def test_a_stranger_does_not(outcomes: Mapping[str, Mapping[str, Outcome]], place: str, attempt: Attempt) -> None:
    found = outcomes[place][attempt.name]
    assert found.verdict == "denied", found.words


@pytest.mark.parametrize("attempt", CONTROLLED, ids=[each.name for each in CONTROLLED])
def test_without_isolation_the_same_attempt_gets_there(
    outcomes: Mapping[str, Mapping[str, Outcome]], attempt: Attempt
) -> None:
    found = outcomes["outside"][attempt.name]
    if attempt.control is not Control.ANYBODY and os.geteuid() != 0:
        pytest.skip("only root can do it")
    if attempt.control is Control.SOMETIMES and found.verdict == "denied":
        pytest.skip("this machine denies it to everybody")
    assert found.verdict == "reached", found.words


@pytest.mark.parametrize("excess", EXCESSES, ids=[each.name for each in EXCESSES])
async def test_a_build_that_takes_without_end_is_ended_and_named(excess: Excess, tmp_path: Path) -> None:
    async with made(tmp_path) as world:
        mark = marker()
        assert await world.taken_from_build(excess, mark) == excess.reason
    assert with_argument(mark) == []


@pytest.mark.parametrize("excess", EXCESSES, ids=[each.name for each in EXCESSES])
async def test_an_instance_that_takes_without_end_is_ended_and_named(excess: Excess, tmp_path: Path) -> None:
    async with made(tmp_path) as world:
        mark = marker()
        assert await world.taken_from_instance(excess, mark) == excess.reason
    assert with_argument(mark) == []


async def test_a_build_does_not_outlive_its_own_end(tmp_path: Path) -> None:
    async with made(tmp_path) as world:
        assert await world.outlived_build() == []


async def test_an_instance_does_not_outlive_its_own_end(tmp_path: Path) -> None:
    async with made(tmp_path) as world:
        assert await world.outlived_instance() == []
