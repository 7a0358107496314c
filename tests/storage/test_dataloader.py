"""One question for many, and nobody is told anything older than their own."""

import asyncio

import pytest

from storage.dataloader import Batched


class Source:
    """Counts what it is asked; answers when it may."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None

    async def load(self, keys):
        self.asked.append(sorted(keys))
        await self.may_answer.wait()
        if self.fault:
            raise self.fault
        return {key: f"{key} of question {len(self.asked)}" for key in keys if key >= 0}


@pytest.fixture
def source():
    return Source()


async def begin(batched, *keys):
    tasks = [asyncio.create_task(batched.get(key)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_crowd_costs_two_questions(source):
    batched = Batched(source.load)
    first = await begin(batched, 1)
    crowd = await begin(batched, *[1, 2, 3] * 20)
    source.may_answer.set()
    assert await first[0] == "1 of question 1"
    answers = await asyncio.gather(*crowd)
    assert set(answers) == {"1 of question 2", "2 of question 2", "3 of question 2"}
    assert source.asked == [[1], [1, 2, 3]]


async def test_what_is_not_there_is_none(source):
    source.may_answer.set()
    assert await Batched(source.load).get(-1) is None


async def test_a_fault_is_everybodys_and_the_next_question_is_a_new_one(source):
    batched = Batched(source.load)
    source.fault = RuntimeError("away")
    asked = await begin(batched, 1, 2)
    source.may_answer.set()
    assert [str(e) for e in await asyncio.gather(*asked, return_exceptions=True)] == ["away", "away"]
    source.fault = None
    assert await batched.get(1) == "1 of question 2"


async def test_one_that_goes_away_takes_nothing_from_the_others(source):
    batched = Batched(source.load)
    goes, stays = await begin(batched, 1, 1)
    goes.cancel()
    source.may_answer.set()
    assert await stays == "1 of question 1"
