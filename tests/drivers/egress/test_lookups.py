"""Names that are never answered keep nobody else's waiting, however many organizations ask for them."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from drivers import sandbox
from drivers.bridge import network
from drivers.bridge.program import program
from drivers.egress.lookups import AT_ONCE, DEAD_S, MAX_DEAD, OF_ONE, SLOW_S, DeadNames, Lookups
from runtime.outbound import LookupUnavailableError, NoSuchNameError, UnresolvedError
from tests.isolation.test_denials import LOUD

LIMIT_S = 120
ISOLATES = pytest.mark.skipif(not sandbox.available() or not network.available(), reason=LOUD)


class Resolver:
    """Answers when it is told to; names that begin with `none` do not exist."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, asyncio.Event] = {}
        self.now = 1000.0
        self.failure: type[UnresolvedError] = NoSuchNameError

    def clock(self) -> float:
        return self.now

    async def resolve(self, host: str) -> list[str]:
        self.asked.append(host)
        if host.startswith(("slow", "none")):
            await self.answers.setdefault(host, asyncio.Event()).wait()
        if host.startswith("none"):
            raise self.failure(host)
        return ["192.0.2.1"]

    def answer(self) -> None:
        for event in self.answers.values():
            event.set()


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


@pytest.fixture
def lookups(resolver: Resolver) -> Lookups:
    return Lookups(resolver.resolve, resolver.clock)


async def settled(*, rounds: int = 20) -> None:
    """All that can happen now has happened."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_however_many_attack_another_organization_is_answered(resolver: Resolver, lookups: Lookups) -> None:
    attackers = 3 * AT_ONCE
    slow = [
        asyncio.create_task(lookups.addresses(f"slow{number}.of{attacker}", f"attacker{attacker}"))
        for number in range(5)
        for attacker in range(attackers)
    ]
    await settled()
    assert len(resolver.asked) == attackers, "one each when all places are taken, and no more"
    async with asyncio.timeout(LIMIT_S):
        assert await lookups.addresses("quick", "another") == ["192.0.2.1"]
        assert await lookups.addresses("quicker", "another") == ["192.0.2.1"]
    assert not any(task.done() for task in slow)
    while not all(task.done() for task in slow):
        resolver.answer()
        await settled()


async def test_one_organization_has_a_part_of_the_places(resolver: Resolver, lookups: Lookups) -> None:
    slow = [asyncio.create_task(lookups.addresses(f"slow{number}", "one")) for number in range(2 * OF_ONE)]
    await settled()
    assert len(resolver.asked) == OF_ONE
    for task in slow[OF_ONE:]:
        task.cancel()  # whoever waits may give up
    await settled()
    resolver.answer()
    await asyncio.gather(*slow[:OF_ONE])
    assert await lookups.addresses("quick", "one") == ["192.0.2.1"]
    assert len(resolver.asked) == OF_ONE + 1


async def test_who_gives_up_holds_its_place_as_long_as_the_question_takes(resolver: Resolver, lookups: Lookups) -> None:
    slow = [asyncio.create_task(lookups.addresses(f"slow{number}", "one")) for number in range(OF_ONE)]
    await settled()
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    waits = asyncio.create_task(lookups.addresses("quick", "one"))
    await settled()
    assert not waits.done(), "its threads are taken all the same"
    resolver.answer()
    assert await waits == ["192.0.2.1"]


async def test_a_name_that_another_organization_waits_to_ask_is_not_waited_for(
    resolver: Resolver, lookups: Lookups
) -> None:
    slow = [asyncio.create_task(lookups.addresses(f"slow{number}", "one")) for number in range(OF_ONE)]
    behind = asyncio.create_task(lookups.addresses("quick", "one"))
    await settled()
    async with asyncio.timeout(LIMIT_S):
        assert await lookups.addresses("quick", "another") == ["192.0.2.1"]
    assert not behind.done()
    resolver.answer()
    await asyncio.gather(*slow, behind)


async def test_all_who_ask_at_once_share_a_question(resolver: Resolver, lookups: Lookups) -> None:
    asking = [asyncio.create_task(lookups.addresses("slow", f"of{number}")) for number in range(10)]
    await settled()
    resolver.answer()
    assert await asyncio.gather(*asking) == 10 * [["192.0.2.1"]]
    assert resolver.asked == ["slow"]


@pytest.mark.parametrize("failure", [NoSuchNameError, LookupUnavailableError])
@pytest.mark.parametrize(("took_s", "asked_again"), [(SLOW_S, False), (SLOW_S / 2, True)])
async def test_a_dead_name_is_not_asked_again_for_a_while(
    resolver: Resolver, lookups: Lookups, *, failure: type[UnresolvedError], took_s: float, asked_again: bool
) -> None:
    """Who asks meanwhile is told the same: that nobody answers does not mean that there is no such name."""
    resolver.failure = failure
    asking = asyncio.create_task(lookups.addresses("none", "one"))
    await settled()
    resolver.now += took_s
    resolver.answer()
    with pytest.raises(failure):
        await asking
    with pytest.raises(failure):
        await lookups.addresses("none", "another")
    assert len(resolver.asked) == (2 if asked_again else 1)
    resolver.now += DEAD_S
    with pytest.raises(failure):
        await lookups.addresses("none", "another")
    assert len(resolver.asked) == (3 if asked_again else 2)


def test_no_more_dead_names_are_remembered_than_some() -> None:
    dead = DeadNames(lambda: 0.0)
    for number in range(MAX_DEAD + 10):
        dead.add(f"name{number}")
    assert "name9" not in dead
    assert "name10" in dead
    assert f"name{MAX_DEAD + 9}" in dead


async def with_silent_server(tmp_path: Path, options: str, *words: int) -> dict[str, Any]:
    """What the script says, with the system's own resolver, threads and all."""
    told = tmp_path / "resolv.conf"
    told.write_text("nameserver 127.0.0.1\n")
    there = await asyncio.to_thread(Path("/etc/resolv.conf").resolve)
    script = Path(__file__).with_name("silent_server.py")
    process = await asyncio.create_subprocess_exec(
        *(str(program()), "--network", str(sandbox.executable()), "--dev-bind", "/", "/"),
        *("--ro-bind", str(told), str(there), "--", sys.executable, str(script), *map(str, words)),
        env={**os.environ, "RES_OPTIONS": options},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        output, _ = await process.communicate()
    found: dict[str, Any] = json.loads(output)
    return found


@ISOLATES
async def test_with_a_name_server_that_does_not_answer_others_have_their_names(tmp_path: Path) -> None:
    """More organizations than there are places."""
    attackers, names = AT_ONCE + 16, 3
    found = await with_silent_server(tmp_path, "timeout:30 attempts:1", attackers, names)
    assert found == {"good": ["192.0.2.1"], "still_under_way": attackers * names}


@ISOLATES
async def test_the_systems_resolver_gives_up_and_is_not_asked_again_at_once(tmp_path: Path) -> None:
    first, second = (await with_silent_server(tmp_path, "timeout:1 attempts:1"))["counts"]
    assert first == second > 0
