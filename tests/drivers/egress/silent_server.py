"""Run in a network of its own whose only name server answers for `good.*` alone: prints what became of lookups.

`python silent_server.py ATTACKERS NAMES`: of an attack. `python silent_server.py`: of a dead name, asked for twice.
"""

import asyncio
import json
import os
import socket
import sys
import threading
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from drivers.egress.lookups import THREADS, Lookups
from runtime.outbound import SystemLookup, UnresolvedError

A_RECORD = 1


class Server(threading.Thread):
    """Counts questions by name."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(("127.0.0.1", 53))
        self.asked: Counter[str] = Counter()

    def run(self) -> None:
        while True:
            question, sender = self.socket.recvfrom(4096)
            labels, at = [], 12
            while length := question[at]:
                labels.append(question[at + 1 : at + 1 + length].decode())
                at += 1 + length
            name, kind = ".".join(labels), int.from_bytes(question[at + 1 : at + 3], "big")
            self.asked[name] += 1
            if name.startswith("good."):
                self.socket.sendto(_answer(question[: at + 5], kind), sender)


def _answer(question: bytes, kind: int) -> bytes:
    """192.0.2.1, and no IPv6 address."""
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01" if kind == A_RECORD else b""
    flags, one, none = b"\x81\x80", b"\x00\x01", b"\x00\x00"
    return question[:2] + flags + one + (one if record else none) + none + none + question[12:] + record


async def attack(server: Server, lookups: Lookups, attackers: int, names: int) -> dict[str, object]:
    """So many organizations ask for so many names each that are never answered, then another one for a good name."""
    dead = [
        asyncio.create_task(lookups.addresses(f"dead{number}.of{attacker}.example", f"attacker{attacker}"))
        for attacker in range(attackers)
        for number in range(names)
    ]
    while len(server.asked) < attackers:  # noqa: ASYNC110 - each of them has one under way
        await asyncio.sleep(0.01)
    good = await lookups.addresses("good.example", "another")
    return {"good": good, "still_under_way": sum(not task.done() for task in dead)}


async def ask_twice(server: Server, lookups: Lookups) -> dict[str, object]:
    """For a name that nobody answers; how often the server was asked, after the first time and after the second."""
    counts = []
    for _ in range(2):
        try:
            await lookups.addresses("dead.example", "one")
        except UnresolvedError:
            counts.append(server.asked.total())
    return {"counts": counts}


async def main(words: list[str]) -> None:
    server = Server()
    server.start()
    lookups = Lookups(SystemLookup(THREADS).resolve)
    facts = await (attack(server, lookups, *map(int, words)) if words else ask_twice(server, lookups))
    print(json.dumps(facts), flush=True)  # noqa: T201 - its answer
    os._exit(0)  # threads still wait


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
