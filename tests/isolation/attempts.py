"""What a stranger's code may try: the table behind the denial tests and `make isolation-check`.

To add one: a name, a line of Python that ends without an exception if it got what it wanted, and in `world.py` what it
needs to find. It is denied when it raises an `OSError` (or `Denied`); any other exception is a fault of the attempt.

Names in the lines: `w` (the world: paths, ports, ids), `refused(call, *arguments)` (denied when the kernel's filter
says no), `syscall(call, *arguments)` (denied when the call fails), `connect(family, address)`, `through(destination)`
(asks the proxy), `Denied`, and the modules of `probe.py`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is reached for."""

    FILES = "files"
    SOCKETS = "sockets"
    NETWORK = "network"
    MOUNTS = "mounts and namespaces"
    PROCESSES = "other processes"
    KERNEL = "kernel"
    DEVICES = "devices and terminals"
    LIMITS = "limits"


class Control(StrEnum):
    """Who gets through with the same line outside of isolation: an attempt that nobody can make proves nothing."""

    ANYBODY = "anybody"
    ROOT = "root"
    SOMETIMES = "root, where the machine itself allows it"
    NOBODY = "nobody, or it is not to be tried outside"


@dataclass(frozen=True)
class Attempt:
    """One line of the table. `places`: from where it is tried."""

    kind: Kind
    name: str
    code: str
    control: Control = Control.ANYBODY
    places: tuple[str, ...] = ("build", "instance")


_CLONE_INTO_NAMESPACE = """
pid = syscall("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""
_CLONE3_INTO_NAMESPACE = """
arguments = struct.pack("11Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
pid = syscall("clone3", arguments, len(arguments))
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""
_PTRACE = """
pid = os.fork()
if pid == 0:
    signal.pause()
try:
    refused("ptrace", 16, pid, 0, 0)
finally:
    os.kill(pid, signal.SIGKILL)
"""
_OTHERS_ENVIRONMENT = """
found = []
for name in os.listdir("/proc"):
    if name.isdigit():
        with contextlib.suppress(OSError):
            found.append(pathlib.Path("/proc", name, "environ").read_bytes())
if not any(w["mark"].encode() in each for each in found):
    raise Denied("not in /proc")
"""
_SET_USER_ID = """
done = subprocess.run([w["set_user_id"], "-u"], capture_output=True, text=True)
if done.stdout.strip() == str(os.getuid()) or not done.stdout:
    raise Denied("it runs as its caller")
"""
_TIOCSTI = """
# The terminal is opened by us and becomes ours: the kernel lets a process type into its own.
leader, follower = pty.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
    try:
        refused("ioctl", follower, {command}, b"x")
    except BaseException:
        os._exit(1)
    os._exit(0)
if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
    raise Denied("EPERM")
"""
_FOREIGN_CALL = """
# mov eax, 20 (getpid of 32-bit programs); int 0x80; ret
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
if platform.machine() != "x86_64":
    raise Denied("not this processor")
answer = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
if answer < 0:
    raise Denied(errno.errorcode[-answer])
"""
_HARMLESS = """
if not any(stat.S_ISBLK(os.lstat(os.path.join("/dev", name)).st_mode) for name in os.listdir("/dev")):
    raise Denied("there are none")
"""
# Of families that a tenant has no use for: family, type, protocol.
_SOCKETS = {"hypervisor": "40, 1, 0", "audit system": "16, 3, 9", "kernel's ciphers": "38, 5, 0"}

_INOTIFY = """
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(w["inotify"]):
    if libc.inotify_init1(0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""
_TIMERS = """
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(w["timers"]):
    if libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""

ATTEMPTS: tuple[Attempt, ...] = (
    Attempt(Kind.FILES, "read another tenant's workspace", 'open(w["workspace"]).read()'),
    Attempt(Kind.FILES, "read another instance's folder", 'open(w["instance"]).read()'),
    Attempt(Kind.FILES, "write into the artifact store", 'open(w["artifacts"] + "/planted", "w")'),
    Attempt(Kind.FILES, "read the signing key", 'open(w["signing_key"]).read()'),
    Attempt(Kind.FILES, "read the encryption key", 'open(w["encryption_key"]).read()'),
    Attempt(Kind.FILES, "list the engine's data folder", 'os.listdir(w["data"])'),
    Attempt(Kind.FILES, "read the machine's passwords", 'open("/etc/shadow").read()', Control.ROOT),
    Attempt(Kind.FILES, "list what is installed in /var/lib", 'os.listdir("/var/lib")'),
    Attempt(Kind.FILES, "list /run", 'os.listdir("/run") or os.listdir("/nothing")'),
    Attempt(Kind.FILES, "write into /usr", 'open("/usr/planted", "w")', Control.NOBODY),
    Attempt(Kind.FILES, "write into /etc", 'open("/etc/planted", "w")', Control.NOBODY),
    Attempt(Kind.FILES, "write into the root", 'open("/planted", "w")', Control.NOBODY),
    Attempt(Kind.FILES, "change its own release", 'open("/delivery/app/planted", "w")', Control.NOBODY, ("instance",)),
    Attempt(Kind.FILES, "gain rights by a set-user-id file", _SET_USER_ID, Control.ROOT),
    Attempt(Kind.SOCKETS, "connect to a unix socket of the engine", 'connect_below(w["data"], "engine.sock")'),
    Attempt(Kind.SOCKETS, "open a packet socket", "socket.socket(17, socket.SOCK_RAW, 0)", Control.SOMETIMES),
    Attempt(Kind.SOCKETS, "open a raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", Control.SOMETIMES),
    *(
        Attempt(Kind.SOCKETS, f"open a socket to the {whom}", f'refused("socket", {numbers})', Control.SOMETIMES)
        for whom, numbers in _SOCKETS.items()
    ),
    Attempt(
        Kind.NETWORK,
        "connect to a port of the engine",
        'connect(socket.AF_INET, ("127.0.0.1", w["port"]))',
    ),
    Attempt(
        Kind.NETWORK,
        "connect to it by IPv6",
        'connect(socket.AF_INET6, ("::1", w["port"]))',
    ),
    Attempt(
        Kind.NETWORK,
        "connect to it by the machine's own address",
        'connect(socket.AF_INET, (w["address"], w["port"]))',
        Control.SOMETIMES,
    ),
    Attempt(
        Kind.NETWORK,
        "connect to an abstract unix socket of the engine",
        'connect(socket.AF_UNIX, "\\0" + w["abstract"])',
    ),
    Attempt(
        Kind.NETWORK,
        "connect to another instance's unix socket",
        'connect(socket.AF_UNIX, w["neighbour"])',
    ),
    Attempt(
        Kind.NETWORK,
        "put a socket of its own in the place of another instance's",
        'socket.socket(socket.AF_UNIX).bind(w["neighbour"] + "-mine")',
    ),
    Attempt(
        Kind.NETWORK,
        "connect to another instance's port",
        'connect(socket.AF_INET, ("127.0.0.1", w["service_port"]))',
        Control.NOBODY,
    ),
    Attempt(
        Kind.NETWORK,
        "connect to the cloud's metadata",
        'connect(socket.AF_INET, ("169.254.169.254", 80))',
        Control.NOBODY,
    ),
    Attempt(
        Kind.NETWORK,
        "send a datagram to the world",
        'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))',
        Control.SOMETIMES,
    ),
    Attempt(
        Kind.NETWORK,
        "find an interface that leads out",
        'max([name for _, name in socket.if_nameindex() if name != "lo"] or [open("/nothing")])',
        Control.SOMETIMES,
    ),
    *(
        Attempt(Kind.NETWORK, f"{name}, by the way out", f"through({to})", Control.NOBODY)
        for name, to in (
            ("a port of the engine", '"127.0.0.1:%d" % w["port"]'),
            ("the same by name", '"localhost:%d" % w["port"]'),
            ("the same in odd digits", '"0x7f.1:%d" % w["port"]'),
            ("the same in IPv6 clothes", '"[::ffff:127.0.0.1]:%d" % w["port"]'),
            ("the same behind a user", '"example.com@127.0.0.1:%d" % w["port"]'),
            ("the machine's own address", '"%s:%d" % (w["address"], w["port"])'),
            ("the cloud's metadata", '"169.254.169.254:80"'),
            ("a private address", '"10.0.0.1:80"'),
        )
    ),
    Attempt(Kind.NETWORK, "another tenant's way out", 'connect_below(w["their_way"], "proxy.sock")'),
    Attempt(Kind.MOUNTS, "mount", 'syscall("mount", b"none", w["tmp"], b"tmpfs", 0, 0)', Control.NOBODY),
    Attempt(Kind.MOUNTS, "mount the new way", 'refused("fsopen", b"tmpfs", 0)', Control.SOMETIMES),
    Attempt(Kind.MOUNTS, "open a tree of mounts", 'refused("open_tree", -100, b"/", 1)', Control.SOMETIMES),
    Attempt(Kind.MOUNTS, "unmount what hides something", 'refused("umount2", b"/nothing", 2)', Control.SOMETIMES),
    Attempt(Kind.MOUNTS, "change the root", 'refused("pivot_root", b"/nothing", b"/nothing")', Control.SOMETIMES),
    Attempt(Kind.MOUNTS, "make a user namespace", 'syscall("unshare", 0x10000000)', Control.SOMETIMES),
    Attempt(Kind.MOUNTS, "make a process in a user namespace", _CLONE_INTO_NAMESPACE, Control.SOMETIMES),
    Attempt(Kind.MOUNTS, "make one with clone3", _CLONE3_INTO_NAMESPACE, Control.SOMETIMES),
    Attempt(
        Kind.MOUNTS,
        "enter a namespace",
        'refused("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), 0)',
        Control.SOMETIMES,
    ),
    Attempt(Kind.MOUNTS, "find a file by its handle", 'refused("open_by_handle_at", -100, 0, 0)', Control.SOMETIMES),
    Attempt(Kind.PROCESSES, "read another process's environment", _OTHERS_ENVIRONMENT),
    Attempt(Kind.PROCESSES, "look at the engine's process", "os.stat(f\"/proc/{w['pid']}/root\")"),
    Attempt(Kind.PROCESSES, "send the engine a signal", 'os.kill(w["pid"], 0)'),
    Attempt(Kind.PROCESSES, "trace a process", _PTRACE, Control.SOMETIMES),
    Attempt(
        Kind.PROCESSES,
        "read another process's memory",
        'refused("process_vm_readv", 1, 0, 0, 0, 0, 0)',
        Control.SOMETIMES,
    ),
    Attempt(Kind.PROCESSES, "take another process's file", 'refused("pidfd_getfd", -1, 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "add a key", 'syscall("add_key", b"user", b"planted", b"x", 1, -2)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "read a keyring", 'syscall("keyctl", 0, -3, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "ask for a key", 'refused("request_key", b"user", b"nothing", 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "load a program into the kernel", 'refused("bpf", 5, 0, 0)', Control.SOMETIMES),
    Attempt(
        Kind.KERNEL, "count events of the processor", 'refused("perf_event_open", 0, 0, -1, -1, 0)', Control.SOMETIMES
    ),
    Attempt(Kind.KERNEL, "handle page faults", 'refused("userfaultfd", 1)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "queue calls past the filter", 'refused("io_uring_setup", 1, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "load a module", 'refused("finit_module", -1, b"", 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "load another kernel", 'refused("kexec_load", 0, 0, 0, 1 << 20)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "read the kernel's log", 'refused("syslog", 3, 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "call as a 32-bit program", _FOREIGN_CALL, Control.NOBODY),
    Attempt(Kind.KERNEL, "call by the x32 table", "number(0x40000000 + 39)", Control.NOBODY),
    Attempt(Kind.KERNEL, "write a setting", 'open("/proc/sys/kernel/core_pattern", "r+")', Control.ROOT),
    Attempt(Kind.KERNEL, "press the magic key", 'open("/proc/sysrq-trigger", "w").write("?")', Control.NOBODY),
    Attempt(
        Kind.DEVICES,
        "make a device",
        'os.mknod(w["tmp"] + "/disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))',
        Control.SOMETIMES,
    ),
    Attempt(Kind.DEVICES, "find a disk", _HARMLESS),
    Attempt(Kind.DEVICES, "type into its terminal", _TIOCSTI.replace("{command}", "0x5412"), Control.NOBODY),
    Attempt(Kind.DEVICES, "the same in odd digits", _TIOCSTI.replace("{command}", "0x100005412"), Control.NOBODY),
    Attempt(
        Kind.KERNEL,
        "a lease, which holds up whoever opens the file",
        'fcntl.fcntl(os.open(w["tmp"] + "/leased", os.O_RDWR | os.O_CREAT), fcntl.F_SETLEASE, fcntl.F_WRLCK)',
    ),
    Attempt(Kind.DEVICES, "set the rights of the machine's /dev/null", 'os.chmod("/dev/null", 0o666)', Control.ROOT),
    Attempt(Kind.LIMITS, "fill shared memory", 'open("/dev/shm/big", "wb").write(bytes(300 << 20))', Control.NOBODY),
    Attempt(Kind.LIMITS, "open files without end", "[open('/dev/null') for _ in range(70_000)]", Control.NOBODY),
    Attempt(
        Kind.LIMITS,
        "take a part of the user's inotify instances that leaves too few",
        _INOTIFY,
        Control.SOMETIMES,
    ),
    Attempt(
        Kind.LIMITS,
        "have very many timers, which are signals of the user's that wait",
        _TIMERS,
        Control.SOMETIMES,
    ),
    Attempt(Kind.LIMITS, "take a higher priority", "os.nice(-5)", Control.SOMETIMES),
)


@dataclass(frozen=True)
class Excess:
    """Code that takes without end: it is ended, and the reason is named."""

    name: str
    code: str
    reason: str


EXCESSES: tuple[Excess, ...] = (
    Excess(
        "fill the disk with many files",
        "i = 0\nwhile True:\n    open(f'{i}', 'wb').write(bytes(1 << 20)); i += 1",
        "disk_limit",
    ),
    Excess(
        "fill the disk with one file", "f = open('big', 'wb')\nwhile True:\n    f.write(bytes(1 << 20))", "disk_limit"
    ),
    Excess(
        "fill the disk with a file that has no name",
        "fs = [open(f'{i}', 'wb') for i in range(9)]\nfor i in range(9): os.unlink(f'{i}')\n"
        "for f in fs: f.write(bytes(12 << 20)); f.flush()\ntime.sleep(60)",
        "disk_limit",
    ),
    Excess(
        "fork without end",
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)",
        "process_limit",
    ),
    Excess(
        "fork without end, each in a session of its own",
        "while True:\n    try:\n        os.fork() or os.setsid()\n    except OSError:\n        time.sleep(0.01)",
        "process_limit",
    ),
    Excess("take memory at one go", "heap = bytearray(300_000_000)\ntime.sleep(60)", "memory_limit"),
    Excess(
        "take memory in small pieces", "heap = []\nwhile True:\n    heap.append(bytearray(100_000))", "memory_limit"
    ),
)
