"""Waiting for a build slot, and giving it back whatever happens."""

import asyncio
from uuid import uuid4

import pytest

from activities.build_slots import SEATS_OF_ONE, BuildSlots
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
    async with asyncio.timeout(120):
        await slots.take(operation, "acme")
    assert slots.held == {operation}


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


async def test_an_organization_that_comes_last_gets_a_seat_whoever_has_them() -> None:
    """Twenty organizations with ten builds each wait: the one that comes then takes the seat of one of theirs."""
    slots = BuildSlots(1, seats=20)
    held = uuid4()
    await slots.take(held, "first")
    seated = [asyncio.create_task(slots.take(uuid4(), f"many {number % 4}")) for number in range(20)]
    await settle()
    late_ones = [uuid4() for _ in range(3)]
    late = [asyncio.create_task(slots.take(operation, "late")) for operation in late_ones]
    await settle()
    assert sum(task.done() for task in seated) == 3
    for task in seated:
        if task.done():
            with pytest.raises(DependencyError, match="All build slots are in use"):
                await task
    assert not any(task.done() for task in late)
    slots.give_back(held)
    async with asyncio.timeout(120):
        await asyncio.wait([task for task in (*seated, *late) if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    for task in [*seated, *late]:
        task.cancel()
    await asyncio.gather(*seated, *late, return_exceptions=True)


async def test_seats_are_not_taken_back_and_forth() -> None:
    """With one seat each nobody that has had no turn loses it to another one; who has had a turn does."""
    slots, held = BuildSlots(1, seats=2), uuid4()
    await slots.take(held, "served")
    waiting = [asyncio.create_task(slots.take(uuid4(), name)) for name in ("served", "other")]
    await settle()
    newcomer = asyncio.create_task(slots.take(uuid4(), "new"))
    await settle()
    with pytest.raises(DependencyError):
        await waiting[0]
    with pytest.raises(DependencyError):
        await slots.take(uuid4(), "newer")
    assert not waiting[1].done()
    for task in (waiting[1], newcomer):
        task.cancel()
    await asyncio.gather(waiting[1], newcomer, return_exceptions=True)
