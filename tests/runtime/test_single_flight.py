"""One question for many who ask: whoever leaves, fails or comes late."""

import asyncio
import gc
from contextvars import ContextVar

import pytest

from domain.errors import DependencyError
from runtime.single_flight import SharedAnswers

WHO = ContextVar("WHO", default="nobody")


class Oracle:
    """Counts the questions; answers when it is told to."""

    def __init__(self, **options):
        self.asked = 0
        self.go = asyncio.Event()
        self.fault = None
        self.who = []
        self.shared = SharedAnswers(self.answer, **{"keep_s": 60.0, **options})

    async def answer(self, key):
        self.asked += 1
        number = self.asked
        self.who.append(WHO.get())
        await self.go.wait()
        if self.fault:
            raise self.fault
        return f"{key}{number}"


async def test_many_askers_cost_one_question_and_its_answer_is_kept():
    oracle = Oracle()
    askers = [asyncio.create_task(oracle.shared.get("a")) for _ in range(500)]
    await asyncio.sleep(0)
    oracle.go.set()
    assert set(await asyncio.gather(*askers)) == {"a1"}
    assert await oracle.shared.get("a") == "a1"
    assert await oracle.shared.get("b") == "b2"
    assert oracle.asked == 2


async def test_an_impatient_asker_leaves_without_harm_to_the_others():
    oracle = Oracle()
    first, second = (asyncio.create_task(oracle.shared.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    oracle.go.set()
    assert await second == "a1"


async def test_an_error_goes_to_all_and_is_not_kept():
    oracle = Oracle()
    oracle.go.set()
    oracle.fault = DependencyError("away")
    told = await asyncio.gather(*(oracle.shared.get("a") for _ in range(3)), return_exceptions=True)
    assert told == [oracle.fault] * 3
    oracle.fault = None
    assert await oracle.shared.get("a") == "a2"


async def test_a_fault_that_nobody_waits_for_is_no_noise():
    noise = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: noise.append(context))
    try:
        oracle = Oracle()
        asker = asyncio.create_task(oracle.shared.get("a"))
        await asyncio.sleep(0)
        asker.cancel()
        await asyncio.gather(asker, return_exceptions=True)
        oracle.fault = DependencyError("away")
        oracle.go.set()
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert noise == []
    assert oracle.shared._flights == {}


async def test_what_was_forgotten_is_asked_anew_even_while_the_old_question_is_under_way():
    oracle = Oracle()
    early = asyncio.create_task(oracle.shared.get("a"))
    await asyncio.sleep(0)
    oracle.shared.forget("a")
    late = asyncio.create_task(oracle.shared.get("a"))
    await asyncio.sleep(0)
    oracle.go.set()
    assert (await early, await late) == ("a1", "a2")
    assert await oracle.shared.get("a") == "a2"
    assert oracle.shared._flights == {}


async def test_memory_is_bounded_by_number_and_by_age():
    oracle = Oracle(max_keys=10)
    oracle.go.set()
    for number in range(100):
        await oracle.shared.get(number)
    assert list(oracle.shared._answers) == list(range(90, 100))
    short = Oracle(keep_s=0.0)
    short.go.set()
    for number in range(100):
        await short.shared.get(number)
    assert not short.shared._answers


@pytest.mark.parametrize("asker", ["request-1"])
async def test_the_question_is_nobodys_request(asker):
    oracle = Oracle()
    oracle.go.set()
    token = WHO.set(asker)
    await oracle.shared.get("a")
    WHO.reset(token)
    assert oracle.who == ["nobody"]
