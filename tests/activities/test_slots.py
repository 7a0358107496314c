"""Waiting for a build slot, and giving it back whatever happens."""

import asyncio
from uuid import uuid4

import pytest

from activities.slots import SEATS_OF_ONE, BuildSlots
from domain.errors import DependencyError


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_slot_given_back_goes_to_the_other_organization() -> None:
    slots, first, mine, others = BuildSlots(1), uuid4(), uuid4(), uuid4()
    await slots.take(first, "many")
    waiting = asyncio.create_task(slots.take(mine, "many"))
    await settle()
    other = asyncio.create_task(slots.take(others, "single"))
    await settle()
    assert not waiting.done()
    slots.give_back(first)
    await other
    assert not waiting.done()
    slots.give_back(others)
    await waiting


async def test_an_operation_keeps_its_slot_from_step_to_step() -> None:
    slots, operation = BuildSlots(1), uuid4()
    await slots.take(operation, "acme")
    for _ in range(3):
        async with asyncio.timeout(120), slots.working(operation, "acme"):
            pass
    await slots.take(operation, "acme")


async def test_a_cancelled_wait_loses_no_slot() -> None:
    slots, first, second, third = BuildSlots(1), uuid4(), uuid4(), uuid4()
    await slots.take(first, "acme")
    waiting = asyncio.create_task(slots.take(second, "acme"))
    await settle()
    slots.give_back(first)  # given to the second, which does not know it yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(120):
        await slots.take(third, "other")


async def test_who_went_on_elsewhere_loses_its_slot_after_the_lease_but_not_while_it_works() -> None:
    now = 0.0
    slots, lost, next_one = BuildSlots(1, lease_s=100, clock=lambda: now), uuid4(), uuid4()
    async with slots.working(lost, "acme"):
        now = 1000.0
        waiting = asyncio.create_task(slots.take(next_one, "other"))
        await settle()
        assert not waiting.done()
    now = 1101.0
    async with asyncio.timeout(120):
        await waiting


async def test_of_one_organization_only_so_many_wait_in_the_worker() -> None:
    slots, first = BuildSlots(1), uuid4()
    await slots.take(first, "many")
    seated = [asyncio.create_task(slots.take(uuid4(), "many")) for _ in range(SEATS_OF_ONE)]
    await settle()
    with pytest.raises(DependencyError, match="All build slots are in use"):
        await slots.take(uuid4(), "many")
    await slots.take(first, "many")  # asking again for what it has
    other = asyncio.create_task(slots.take(uuid4(), "other"))
    await settle()
    slots.give_back(first)
    await other
    for task in seated:
        task.cancel()
    await asyncio.gather(*seated, return_exceptions=True)
