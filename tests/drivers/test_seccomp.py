"""The filter's verdicts, by running its program as the kernel does: also for the processor that is not this one."""

import errno
import re
import struct
from pathlib import Path

import pytest

from drivers import seccomp

ALLOW = 0x7FFF0000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386, ARM = 0x40000003, 0x40000028
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# Each in both tables; what programs need every day.
EVERYDAY = {"x86_64": (0, 1, 9, 59, 202, 257, 318, 319), "aarch64": (56, 63, 64, 98, 221, 222, 278, 279)}
NEW_CALLS = range(424, 460)


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """0: allowed, else the error that the call ends with."""
    program = seccomp.program.__wrapped__(machine)
    assert program is not None
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, ARCH[machine] if arch is None else arch, 0, *padded)
    steps = list(struct.iter_unpack("=HBBI", program))
    at, loaded = 0, 0
    while True:
        code, jump_true, jump_false, value = steps[at]
        at += 1
        match code:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x54:
                loaded &= value
            case 0x15 | 0x35 | 0x45:
                taken = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
                at += jump_true if taken else jump_false
            case 0x06:
                return 0 if value == ALLOW else value & 0xFFFF
            case _:
                raise AssertionError(f"the kernel knows no {code:#x} here")


@pytest.mark.parametrize("machine", ARCH)
def test_what_is_refused_and_what_is_not(machine: str) -> None:
    calls = seccomp.calls(machine)
    by_arguments = {"clone", "unshare", "ioctl", "fcntl", "socket", "socketpair", "personality"}
    not_there = {"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup", "memfd_secret"}
    for name in calls.keys() - by_arguments:
        assert verdict(machine, calls[name]) == (errno.ENOSYS if name in not_there else errno.EPERM), name
    known = set(calls.values())
    assert all(verdict(machine, number) == 0 for number in (*EVERYDAY[machine], *NEW_CALLS) if number not in known)


@pytest.mark.parametrize("machine", ARCH)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (0x11,), 0),  # fork
        ("clone", (0x3D0F00,), 0),  # a thread
        ("clone", (0x4111,), 0),  # vfork
        *(("clone", (0x11 | 1 << bit,), errno.EPERM) for bit in (17, 25, 26, 27, 28, 29, 30)),
        ("unshare", (0x400,), 0),
        ("unshare", (0x80,), errno.EPERM),
        ("unshare", (0x10000400,), errno.EPERM),
        ("ioctl", (0, 0x5401), 0),
        ("ioctl", (0, 0x5412), errno.EPERM),
        ("ioctl", (0, 0xABCD00005412), errno.EPERM),
        *(("ioctl", (0, command), errno.EPERM) for command in (0x541C, 0x541D, 0x5423, 0x100005423)),
        *(("ioctl", (0, command), 0) for command in (0x5413, 0x540F, 0x5410, 0x540E, 0x5421, 0x80045430)),
        *(("fcntl", (3, command), 0) for command in (0, 1, 2, 3, 4, 6, 1025, 1030, 1033)),
        *(("fcntl", (3, command), errno.EPERM) for command in (1024, 1040, 0xABCD00000400)),
        ("socket", (1, 3), 0),
        ("socket", (2, 1), 0),
        ("socket", (10, 0x80802), 0),
        ("socket", (2, 2, 1), 0),  # ping without rights
        ("socket", (10, 2, 58), 0),
        ("socket", (2, 0x80801, 6), 0),
        ("socket", (2, 2, 17), 0),
        *(("socket", (family, 1, 262), errno.EPROTONOSUPPORT) for family in (2, 10)),  # MPTCP
        ("socket", (2, 0x80801, 262), errno.EPROTONOSUPPORT),
        *(("socket", (2, 1, protocol), errno.EPROTONOSUPPORT) for protocol in (132, 256)),  # SCTP, SMC
        *(("socket", (2, kind, 132), errno.EPROTONOSUPPORT) for kind in (5, 0x80805)),
        ("socket", (10, 6, 33), errno.EPROTONOSUPPORT),  # DCCP
        *(("socket", (2, 2, protocol), errno.EPROTONOSUPPORT) for protocol in (136, 115, 47, 255)),  # UDP-Lite, L2TP
        *(("socket", (2, kind), errno.EPROTONOSUPPORT) for kind in (0, 4, 5, 6, 7)),
        ("socket", (2, 1, 0x500000006), 0),
        ("socket", (2, 3, 255), errno.EPERM),
        ("socket", (10, 0x80803), errno.EPERM),
        ("socket", (2, 10), errno.EPERM),
        ("socket", (16, 3, 0), 0),
        ("socket", (16, 3, 9), errno.EPERM),
        *(("socket", (family, 1), errno.EAFNOSUPPORT) for family in (0, 3, 4, 5, 9, 17, 21, 29, 31, 38, 40, 44)),
        ("socket", (0x100000011, 3), errno.EAFNOSUPPORT),
        ("socketpair", (1, 1), 0),
        ("socketpair", (30, 1), errno.EPERM),
        ("personality", (0xFFFFFFFF,), 0),
        ("personality", (0x40000,), 0),
        ("personality", (0x400000,), errno.EPERM),
    ],
)
def test_what_is_judged_by_its_arguments(machine: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    assert verdict(machine, seccomp.calls(machine)[name], *arguments) == expected


def test_foreign_programs_are_refused() -> None:
    assert verdict("x86_64", 39, arch=I386) == errno.ENOSYS
    assert verdict("aarch64", 20, arch=ARM) == errno.ENOSYS
    assert verdict("x86_64", 0x40000000 | 39) == errno.ENOSYS
    assert verdict("x86_64", -1) == errno.ENOSYS
    assert {verdict("x86_64", number) for number in range(512, 548)} == {errno.ENOSYS}
    assert verdict("x86_64", 511) == verdict("x86_64", 548) == verdict("aarch64", 520) == 0
    assert seccomp.program.__wrapped__("riscv64") is None


@pytest.mark.parametrize("machine", ARCH)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    if not HEADERS[machine].is_file():
        pytest.skip("no headers of the kernel here")
    text = HEADERS[machine].read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    ours = seccomp.calls(machine)
    newer = max(known.values())
    assert {name: known.get(name) for name in ours if ours[name] <= newer} == {
        name: number for name, number in ours.items() if number <= newer
    }
