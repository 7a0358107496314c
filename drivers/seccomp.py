"""System calls that are refused to isolated code, as a program for the kernel's filter (classic BPF).

A deny list, as container runtimes have: calls for other namespaces, other processes, keys, kernel internals, and
sockets outside of ordinary networking. Capabilities, namespaces and read-only mounts forbid most of these as well; the
filter reduces the kernel code that untrusted programs can reach. Unknown CPU architectures get no filter, and then
nothing runs isolated (`sandbox.available`).
"""

import errno
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

# struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits; the low half of one first.
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _JUMP_ABOVE, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32_BIT = 0x40000000
# Calls of the x32 table, which kernels before 5.4 let every program make by their bare numbers (ptrace is 521).
_X32_FIRST, _X32_END = 512, 548

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME (0x80) is part of the signal in clone().
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_NEWTIME = 0x80
# Calls that inject input into a terminal, and the console's menu of the same kind; that redirect the console's output;
# that attach a line discipline to a terminal, and so load its module into the kernel (n_gsm, n_hdlc, ...).
_TERMINALS = (0x5412, 0x541C, 0x541D, 0x5423)
# fcntl: leases and delegations. With one on a file of ours, code could make whoever opens the file wait for 45 seconds.
_F_SETLEASE, _F_SETDELEG = 1024, 1040
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_RAW, _SOCK_PACKET, _TYPE_MASK = 1, 2, 3, 10, 0xF
# TCP, UDP, and unprivileged ping in both IP versions, whatever the socket type. Not MPTCP, SCTP, DCCP, UDP-Lite, L2TP,
# SMC: modules that nothing needs here. The error is that of a kernel without the protocol (Go then uses TCP).
_PROTOCOLS = (0, 6, 17, 1, 58)
_NETLINK_ROUTE = 0
# Harmless personalities: Linux, also with 32-bit addresses or without ASLR; all ones only queries.
_PERSONALITIES = (0, 0x0008, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)


@dataclass(frozen=True)
class _Machine:
    """AUDIT_ARCH of its native programs, whether it has a second table (x32), and its call numbers."""

    arch: int
    has_x32: bool
    calls: Mapping[str, int]


_NEW_CALLS = {  # the same number everywhere
    "pidfd_getfd": 438,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "open_tree_attr": 467,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "process_madvise": 440,
    "memfd_secret": 447,
    "set_mempolicy_home_node": 450,
}
_X86_64 = {
    "ioctl": 16,
    "fcntl": 72,
    "socket": 41,
    "socketpair": 53,
    "clone": 56,
    "ptrace": 101,
    "syslog": 103,
    "uselib": 134,
    "personality": 135,
    "ustat": 136,
    "sysfs": 139,
    "vhangup": 153,
    "modify_ldt": 154,
    "pivot_root": 155,
    "_sysctl": 156,
    "chroot": 161,
    "acct": 163,
    "settimeofday": 164,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "sethostname": 170,
    "setdomainname": 171,
    "iopl": 172,
    "ioperm": 173,
    "create_module": 174,
    "init_module": 175,
    "delete_module": 176,
    "get_kernel_syms": 177,
    "query_module": 178,
    "quotactl": 179,
    "nfsservctl": 180,
    "lookup_dcookie": 212,
    "io_setup": 206,
    "clock_settime": 227,
    "mbind": 237,
    "set_mempolicy": 238,
    "get_mempolicy": 239,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "migrate_pages": 256,
    "unshare": 272,
    "move_pages": 279,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "clock_adjtime": 305,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "finit_module": 313,
    "kexec_file_load": 320,
    "bpf": 321,
    "userfaultfd": 323,
}
_AARCH64 = {
    "io_setup": 0,
    "ioctl": 29,
    "fcntl": 25,
    "umount2": 39,
    "mount": 40,
    "pivot_root": 41,
    "nfsservctl": 42,
    "vhangup": 58,
    "chroot": 51,
    "quotactl": 60,
    "lookup_dcookie": 18,
    "acct": 89,
    "personality": 92,
    "unshare": 97,
    "kexec_load": 104,
    "init_module": 105,
    "delete_module": 106,
    "clock_settime": 112,
    "syslog": 116,
    "ptrace": 117,
    "reboot": 142,
    "sethostname": 161,
    "setdomainname": 162,
    "settimeofday": 170,
    "socket": 198,
    "socketpair": 199,
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
    "clone": 220,
    "swapon": 224,
    "swapoff": 225,
    "mbind": 235,
    "get_mempolicy": 236,
    "set_mempolicy": 237,
    "migrate_pages": 238,
    "move_pages": 239,
    "perf_event_open": 241,
    "fanotify_init": 262,
    "name_to_handle_at": 264,
    "open_by_handle_at": 265,
    "clock_adjtime": 266,
    "setns": 268,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "kcmp": 272,
    "finit_module": 273,
    "bpf": 280,
    "userfaultfd": 282,
    "kexec_file_load": 294,
}
_MACHINES = {
    "x86_64": _Machine(0xC000003E, True, _X86_64 | _NEW_CALLS),
    "aarch64": _Machine(0xC00000B7, False, _AARCH64 | _NEW_CALLS),
}
_JUDGED_BY_ARGUMENTS = {"clone", "unshare", "ioctl", "fcntl", "socket", "socketpair", "personality"}
# Programs take these errors for an older kernel and fall back: to clone(), whose flags a filter can see; and databases
# do without asynchronous I/O contexts (the machine has a fixed number of those for all).
_NOT_THERE = {"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup", "memfd_secret"}


@lru_cache(maxsize=1)
def program(machine: str = "") -> bytes | None:
    """The filter in the format of `bwrap --seccomp`; None for an unknown architecture.

    Args:
        machine: as in `uname -m`; empty: this machine.
    """
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    rules = [_load(_ARCH), *_unless_equal(known.arch, _refusal(errno.ENOSYS)), _load(_NUMBER)]
    if known.has_x32:
        rules += [_step(_JUMP_ABOVE, _X32_BIT, 0, 1), _refusal(errno.ENOSYS)]
        rules += [_step(_JUMP_ABOVE, _X32_END, 2, 0), _step(_JUMP_ABOVE, _X32_FIRST, 0, 1), _refusal(errno.ENOSYS)]
    for name, number in sorted(known.calls.items(), key=lambda call: call[1]):
        body = _body(name)
        rules += [_step(_JUMP_EQUAL, number, 0, len(body)), *body]
    return b"".join([*rules, _step(_RETURN, _ALLOW)])


def calls(machine: str) -> Mapping[str, int]:
    """The numbers of the filtered calls, by name; empty for an unknown architecture."""
    known = _MACHINES.get(machine)
    return known.calls if known else {}


def _body(name: str) -> list[bytes]:
    """The filter for one call; each body ends with a verdict."""
    if name in _JUDGED_BY_ARGUMENTS:
        return [*_BODIES[name], _step(_RETURN, _ALLOW)]
    return [_refusal(errno.ENOSYS if name in _NOT_THERE else errno.EPERM)]


def _socket() -> list[bytes]:
    netlink = [_load(_argument(2)), *_unless_equal(_NETLINK_ROUTE, _refusal(errno.EPERM)), _step(_RETURN, _ALLOW)]
    internet = _internet()
    return [
        _load(_argument(0)),
        _step(_JUMP_EQUAL, _UNIX, 0, 1),
        _step(_RETURN, _ALLOW),
        _step(_JUMP_EQUAL, _NETLINK, 0, len(netlink)),
        *netlink,
        _step(_JUMP_EQUAL, _INET, 1, 0),
        _step(_JUMP_EQUAL, _INET6, 0, len(internet)),
        *internet,
        _refusal(errno.EAFNOSUPPORT),
    ]


def _internet() -> list[bytes]:
    """Stream and datagram sockets of the ordinary protocols; no raw packets."""
    return [
        _load(_argument(1)),
        _step(_AND, _TYPE_MASK),
        _step(_JUMP_EQUAL, _SOCK_RAW, 1, 0),
        _step(_JUMP_EQUAL, _SOCK_PACKET, 0, 1),
        _refusal(errno.EPERM),
        _step(_JUMP_EQUAL, _SOCK_STREAM, 2, 0),
        _step(_JUMP_EQUAL, _SOCK_DGRAM, 1, 0),
        _refusal(errno.EPROTONOSUPPORT),
        *_allowed_values(2, _PROTOCOLS, otherwise=errno.EPROTONOSUPPORT),
    ]


def _refused_values(argument: int, values: Iterable[int]) -> list[bytes]:
    body = [_load(_argument(argument))]
    for value in values:
        body += [_step(_JUMP_EQUAL, value, 0, 1), _refusal(errno.EPERM)]
    return body


def _allowed_values(argument: int, values: Iterable[int], *, otherwise: int = errno.EPERM) -> list[bytes]:
    body = [_load(_argument(argument))]
    for value in values:
        body += [_step(_JUMP_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW)]
    return [*body, _refusal(otherwise)]


def _refused_bits(argument: int, bits: int) -> list[bytes]:
    return [_load(_argument(argument)), _step(_JUMP_ANY_BIT, bits, 0, 1), _refusal(errno.EPERM)]


def _argument(number: int) -> int:
    """The offset of an argument's low half. The kernel reads no more of the arguments that are filtered here."""
    return _ARGUMENTS + 8 * number


def _unless_equal(value: int, verdict: bytes) -> list[bytes]:
    return [_step(_JUMP_EQUAL, value, 1, 0), verdict]


def _refusal(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _load(offset: int) -> bytes:
    return _step(_LOAD, offset)


def _step(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    """One struct sock_filter."""
    return struct.pack("=HBBI", code, jump_true, jump_false, value)


_BODIES = {
    "clone": _refused_bits(0, _NAMESPACES),
    "unshare": _refused_bits(0, _NAMESPACES | _NEWTIME),
    "ioctl": _refused_values(1, _TERMINALS),
    "fcntl": _refused_values(1, (_F_SETLEASE, _F_SETDELEG)),
    "socket": _socket(),
    "socketpair": _allowed_values(0, (_UNIX,)),
    "personality": _allowed_values(0, _PERSONALITIES),
}
