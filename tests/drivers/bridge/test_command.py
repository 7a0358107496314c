"""The command behind the bridge: as if there were none."""

import asyncio
import os
import signal

import pytest

from drivers.bridge.program import program
from tests.drivers.bridge.bed import children, free_port, until
from tests.drivers.bridge.conftest import Begin


@pytest.mark.parametrize(
    ("line", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)], ids=str
)
async def test_the_bridge_ends_as_its_command_does(bridge: Begin, line: str, code: int) -> None:
    begun = await bridge(port=free_port(), command=("/bin/sh", "-c", line))
    assert await begun.ended() == code


async def test_a_program_that_is_not_there_is_named(bridge: Begin) -> None:
    begun = await bridge(command=("/no/such/program",))
    assert await begun.ended() == 127
    assert "/no/such/program" in await begun.log()


async def test_signals_are_the_commands_business(bridge: Begin) -> None:
    begun = await bridge(port=free_port())
    await until(lambda: len(children(begun.pid)) == 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
        os.kill(begun.pid, number)
    await asyncio.sleep(0.1)
    assert begun.process.returncode is None
    os.kill(children(begun.pid)[0], signal.SIGTERM)
    assert await begun.ended() == 143


async def test_the_command_has_no_descriptor_signal_or_limit_of_the_bridge(bridge: Begin) -> None:
    line = "ls /proc/self/fd | wc -l; grep -E 'Sig(Ign|Blk)' /proc/self/status; ulimit -n"
    plain = await asyncio.create_subprocess_exec("/bin/sh", "-c", line, stdout=asyncio.subprocess.PIPE)
    without = (await plain.communicate())[0].decode().split()  # whoever runs the tests may ignore a signal: nohup does
    begun = await bridge(port=free_port(), command=("/bin/sh", "-c", f"({line}) >&2"), most_files=64)
    assert await begun.ended() == 0
    said = (await begun.log()).split()
    assert said[0] == "4"  # 0 to 2, and that of ls itself
    assert said[1:5] == without[1:5]
    assert said[5] == "64"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--in", "3:notaport"), "is no listening socket"),
        (("--in", "x:80"), "FD:PORT is wanted"),
        (("--out", "127.0.0.1:0:/tmp/x"), "is not a port"),
        (("--out", "localhost:80:/tmp/x"), "is not an IP address"),
        (("--out", "127.0.0.1:80:relative"), "is wanted"),
        (("--out", "127.0.0.1:80:/tmp/x:host"), "is wanted"),
        (("--out", "127.0.0.1:80:/" + "x" * 108), "longer than 107 bytes"),
        (("--out", "127.0.0.1:1:/tmp/x:a b:80"), "no host to ask for"),
        (("--else", "x"), "is not known"),
    ],
)
async def test_a_wrong_argument_is_reported_and_nothing_is_run(
    bridge: Begin, words: tuple[str, ...], fault: str
) -> None:
    begun = await bridge(*words, command=("/bin/sh", "-c", "echo it ran >&2"))
    assert await begun.ended() == 125
    said = await begun.log()
    assert fault in said
    assert "it ran" not in said


async def test_a_bridge_is_small(bridge: Begin) -> None:
    begun = await bridge(port=free_port())
    await until(lambda: len(children(begun.pid)) == 1)
    assert begun.resident_kib() < 2048


async def test_a_network_has_loopback_alone_and_any_port(bridge: Begin) -> None:
    ports = "import socket; [socket.create_server((a, 1), family=f) for a, f in (('127.0.0.1', 2), ('::1', 10))]"
    line = f'id -u; python3 -c "{ports}" && echo bound; tail -n +3 /proc/net/dev | wc -l'
    done = await asyncio.create_subprocess_exec(
        *(str(program()), "--network", "/bin/sh", "-c", line), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await done.communicate()
    assert said.decode().split() == [str(os.getuid()), "bound", "1"]
