"""What a stranger's code may try: the table behind the denial tests and `make isolation-check`.

To add one: a name, a line of Python that ends without an exception if it got what it wanted, and in `world.py` what it
needs to find. It is denied when it raises an `OSError` (or `Denied`); any other exception is a fault of the attempt.

Names in the lines: `w` (the world: paths, ports, ids), `refused(call, *arguments)` (denied when the kernel's filter
says no), `syscall(call, *arguments)` (denied when the call fails), `connect(family, address)`, what asks the proxy
(`through(*destinations)`, `forwarded(*urls)`, `socks(kind, host, port)`: denied when it refuses each of them by its
rules), `surely(call, *arguments)` (must work), `Denied`, `Reached`, and the modules of `probe.py`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is reached for."""

    FILES = "files"
    SOCKETS = "sockets"
    NETWORK = "network"
    WAY_OUT = "the way out"
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
_TIOCSETD = """
# The ordinary protocol, which it has already: nothing changes.
leader, follower = pty.openpty()
refused("ioctl", follower, 0x5423, struct.pack("i", 0))
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
_REBINDING = """
# It means a web server that may be reached, a private address, and so on in turn.
said = [ask(f"CONNECT rebinding.test:{w['web']} HTTP/1.1\\r\\n\\r\\n".encode()) for _ in range(4)]
refused_ones = [each for each in said if each.startswith(b"HTTP/1.1 403 ")]
if len(refused_ones) != 2 or sum(each.startswith(b"HTTP/1.1 200 ") for each in said) != 2:
    raise Reached(repr(said))
raise Denied("403 at each private one")
"""
_REDIRECT = """
surely(fetch, f"http://allowed.test:{w['web']}/fine")
fetch(f"http://allowed.test:{w['web']}/redirect")
"""
_SMUGGLED = """
to = f"http://allowed.test:{w['web']}/fine"
surely(fetch, to)
forwarded(to, more=b"Host: here.test\\r\\n")
"""
_TWO_LENGTHS = """
to = f"http://allowed.test:{w['web']}/fine"
hidden = f"GET http://here.test:{w['port']}/ HTTP/1.1\\r\\nHost: here.test\\r\\n\\r\\n".encode()
surely(fetch, to)
for more in (
    b"Content-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n",
    b"Content-Length: 4\\r\\nContent-Length: 400\\r\\n",
    b"Transfer-Encoding: chunked, identity\\r\\n",
    b"Transfer-Encoding: xchunked\\r\\n",
    b"Transfer-Encoding : chunked\\r\\n",
    b" Transfer-Encoding: chunked\\r\\n",
    b"Transfer-Encoding:\\x0bchunked\\r\\n",
):
    try:
        forwarded(to, more=more, body=b"0\\r\\n\\r\\n" + hidden)
    except Denied as last:
        words = str(last)
raise Denied(words)
"""
_TWO_IN_ONE = """
to = f"http://allowed.test:{w['web']}/fine"
hidden = f"GET http://here.test:{w['port']}/ HTTP/1.1\\r\\nHost: here.test\\r\\n\\r\\n".encode()
said = ask(f"GET {to} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n".encode() + hidden)
if not said.startswith(b"HTTP/1.1 200 ") or said.count(b"HTTP/1.1 ") != 1:
    raise Reached(repr(said))
raise Denied("the first one alone is answered")
"""
_SOCKS_4 = """
port = struct.pack("!H", w["port"])
for asked in (bytes([127, 0, 0, 1, 0]), bytes([0, 0, 0, 1, 0]) + b"here.test\\0"):
    said = ask(b"\\x04\\x01" + port + asked)
    if said[:2] != b"\\x00\\x5b":
        raise Reached(repr(said))
raise Denied("SOCKS 4 says no")
"""
_TELLING = """
said = b""
for path in ("/", "http://127.0.0.1:3128/", "http://here.test/", "http://allowed.test:1/", "*"):
    for method in ("GET", "TRACE", "OPTIONS", "JUDGE", "CONNECT"):
        said += ask(f"{method} {path} HTTP/1.1\\r\\nHost: proxy\\r\\n\\r\\n".encode())
if any(each.encode() in said for each in (w["data"], w["mark"], "Traceback", "sandbox")):
    raise Reached(repr(said))
raise Denied("its answers name what was asked for")
"""
# Ports and sockets of an engine: somebody listens on each of them outside.
PORTS = {
    "temporal": "Temporal's gRPC",
    "temporal_http": "Temporal's HTTP",
    "temporal_ui": "Temporal's UI",
    "postgres": "PostgreSQL's port",
    "envoy_admin": "Envoy's admin",
    "api": "the API's internal port",
}
UNIX_SOCKETS = {
    "engine.sock": "a unix socket of the engine",
    ".s.PGSQL.5432": "PostgreSQL's unix socket",
    "admin.sock": "Envoy's admin by its unix socket",
}
# Where the proxy must lead nobody, each in forms that some client or resolver understands. What has no port here gets
# that of the engine.
DESTINATIONS = {
    "a port of the engine": ("127.0.0.1", "127.1.2.3", "127.255.255.254"),
    "the same by name": ("localhost", "LOCALHOST.", "db.localhost", "here.test", "mixed.test", "mapped.test"),
    "the same in odd digits": (
        *("0x7f.1", "0X7F000001", "0177.0.0.1", "017700000001", "0000177.1", "2130706433", "127.1", "127.0.1"),
        *("127.0.0.1.", "127.0.0.1..", "0x7f.0x0.0x0.0x1"),
    ),
    "the same in odd letters": (
        *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u24db\u24de\u24d2alhost", "loc%61lhost"),
        *("127%2e0%2e0%2e1", "127.0.0.1%00.test", "xn--127.0.0.1", "127.0.0.1\u00ad"),
    ),
    "the same in IPv6 clothes": (
        *("[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:7f00:1]"),
        *("[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::1]", "[2001:0:7f00:1::1]", "[fe80::5efe:7f00:1]"),
        *("nat64.test", "six2four.test"),
    ),
    "the same with a zone": ("[::1%lo]", "[::1%25lo]", "[fe80::1%1]", "127.0.0.1%lo"),
    "the same behind a user": ("allowed.test@127.0.0.1", "allowed.test:80@127.0.0.1", "a:b@127.0.0.1"),
    "the same in the form of a URL": (
        "http://127.0.0.1",
        "//127.0.0.1",
        "127.0.0.1/allowed.test",
        "allowed.test#@[::1]",
    ),
    "every address of this machine": (
        *("0", "0.0.0.0", "0x0", "00000000", "[::]", "[::ffff:0.0.0.0]", "zero.test"),  # noqa: S104 - asked for
    ),
    "the machine's own address": ("{address}",),
    "all of a network": ("255.255.255.255", "224.0.0.1", "239.255.255.250", "[ff02::1]", "240.0.0.1"),
    "a private address": (
        *("10.0.0.1:80", "172.16.0.1:80", "192.168.0.1:80", "100.64.0.1:80", "169.254.0.1:80", "198.18.0.1:80"),
        *("[fd00::1]:80", "[fec0::1]:80", "[fe80::1]:80", "[::ffff:10.0.0.1]:80", "[64:ff9b::a00:1]:80"),
        *("012.0.0.1:80", "167772161:80", "inner.test:80"),
    ),
    "the cloud's metadata": (
        *("169.254.169.254:80", "0xa9fea9fe:80", "2852039166:80", "[::ffff:169.254.169.254]:80", "metadata.test:80"),
        *("[fd00:ec2::254]:80", "[fd20:ce::254]:80", "[64:ff9b::a9fe:a9fe]:80", "[2002:a9fe:a9fe::1]:80"),
        *("100.100.100.200:80", "192.0.0.192:80", "168.63.129.16:80", "169.254.169.254.:80"),
    ),
    "mail servers": ("allowed.test:25",),
}
BY_THE_PROXY = {
    "a URL of a port of the engine": (
        "forwarded(*(f\"http://{host}:{w['port']}/\" for host in ('127.0.0.1', '0x7f.1', '[::1]', 'here.test', '0')))"
    ),
    "a URL of a user and another host": (
        "forwarded(*(form % w['port'] for form in ('http://allowed.test@127.0.0.1:%d/', 'http://a.test\\\\@[::1]:%d/')))"
    ),
    "a path alone, and Host": "judged(f\"GET / HTTP/1.1\\r\\nHost: 127.0.0.1:{w['port']}\\r\\n\\r\\n\".encode())",
    "a redirect": _REDIRECT,
    "a name that changes its meaning": _REBINDING,
    "two hosts in one request": _SMUGGLED,
    "two lengths in one request": _TWO_LENGTHS,
    "two requests in one": _TWO_IN_ONE,
    "a header of PROXY protocol": (
        "judged(f\"PROXY TCP4 127.0.0.1 127.0.0.1 1 {w['port']}\\r\\n\".encode()"
        " + f\"CONNECT allowed.test:{w['web']} HTTP/1.1\\r\\n\\r\\n\".encode())"
    ),
    "SOCKS by number": "socks(1, bytes([127, 0, 0, 1]), w['port'])",
    "SOCKS by a number in IPv6 clothes": "socks(4, bytes(10) + bytes([255, 255, 127, 0, 0, 1]), w['port'])",
    "SOCKS by name": "socks(3, b'here.test', w['port'])",
    "SOCKS by a name that is a number": "socks(3, b'2130706433', w['port'])",
    "SOCKS to be connected to": "socks(1, bytes([127, 0, 0, 1]), w['port'], command=2)",
    "SOCKS for datagrams": "socks(1, bytes(4), 0, command=3)",
    "SOCKS 4, by number and by name": _SOCKS_4,
    "have it tell of the engine": _TELLING,
}


def _forms(hosts: tuple[str, ...]) -> str:
    """The words of Python for them."""
    with_ports = [host if re.search(r":\d+$", host) else host + ":{port}" for host in hosts]
    return f"(form.format(port=w['port'], address=w['address']) for form in {with_ports!r})"


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
    *(
        Attempt(Kind.SOCKETS, f"connect to {name}", f'connect_below(w["data"], "{path}")')
        for path, name in UNIX_SOCKETS.items()
    ),
    Attempt(Kind.SOCKETS, "open a packet socket", "socket.socket(17, socket.SOCK_RAW, 0)", Control.SOMETIMES),
    Attempt(Kind.SOCKETS, "open a raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", Control.SOMETIMES),
    *(
        Attempt(Kind.SOCKETS, f"open a socket to the {whom}", f'refused("socket", {numbers})', Control.SOMETIMES)
        for whom, numbers in _SOCKETS.items()
    ),
    *(
        Attempt(
            Kind.SOCKETS, f"open a socket of {name}", f'refused("socket", 2, {kind}, {protocol})', Control.SOMETIMES
        )
        for name, kind, protocol in (
            ("MPTCP", 1, 262),
            ("SCTP", 1, 132),
            ("SCTP, in packets", 5, 132),
            ("DCCP", 6, 33),
            ("UDP-Lite", 2, 136),
            ("L2TP", 2, 115),
        )
    ),
    *(
        Attempt(Kind.NETWORK, f"connect to {name}", f'connect(socket.AF_INET, ("127.0.0.1", w["ports"]["{port}"]))')
        for port, name in PORTS.items()
    ),
    Attempt(
        Kind.NETWORK,
        "connect to a port of the engine by IPv6",
        'connect(socket.AF_INET6, ("::1", w["port"]))',
    ),
    Attempt(
        Kind.NETWORK,
        "connect to it by the machine's own address",
        'connect(socket.AF_INET, (w["address"], w["port"]))',
        Control.SOMETIMES,
    ),
    Attempt(
        Kind.SOCKETS,
        "connect to the engine's abstract unix socket",
        'connect(socket.AF_UNIX, "\\0" + w["abstract"])',
    ),
    Attempt(
        Kind.NETWORK,
        "connect to another instance's unix socket",
        'connect(socket.AF_UNIX, w["neighbour"])',
    ),
    Attempt(
        Kind.NETWORK,
        "take the place of another instance's socket",
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
        Attempt(Kind.WAY_OUT, f"a tunnel to {name}", f"through(*{_forms(hosts)})", Control.NOBODY)
        for name, hosts in DESTINATIONS.items()
    ),
    *(Attempt(Kind.WAY_OUT, name, code, Control.NOBODY) for name, code in BY_THE_PROXY.items()),
    Attempt(Kind.WAY_OUT, "another tenant's way out", 'connect_below(w["their_way"], "proxy.sock")'),
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
    Attempt(
        Kind.MOUNTS,
        "ask for a file's handle",
        'refused("name_to_handle_at", -100, b"/", 0, 0, 0)',
        Control.SOMETIMES,
    ),
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
    Attempt(Kind.KERNEL, "take queues that all share", 'refused("io_setup", 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "have memory that the kernel does not see", 'refused("memfd_secret", 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "say where memory lies", 'refused("mbind", 0, 0, 0, 0, 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "move pages of memory", 'refused("move_pages", 0, 0, 0, 0, 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "set quotas", 'refused("quotactl", 0, 0, 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "set the clock", 'refused("clock_settime", 99, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "have the clock go slower", 'refused("clock_adjtime", 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "load a module", 'refused("finit_module", -1, b"", 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "load another kernel", 'refused("kexec_load", 0, 0, 0, 1 << 20)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "read the kernel's log", 'refused("syslog", 3, 0, 0)', Control.SOMETIMES),
    Attempt(Kind.KERNEL, "call as a 32-bit program", _FOREIGN_CALL, Control.NOBODY),
    Attempt(Kind.KERNEL, "call by the x32 table", "number(0x40000000 + 39)", Control.NOBODY),
    Attempt(Kind.KERNEL, "call by the x32 table without its mark", "number(521, 0, 0, 0, 0)", Control.NOBODY),
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
    Attempt(Kind.DEVICES, "put another protocol on a terminal", _TIOCSETD),
    Attempt(Kind.DEVICES, "take the console's output", 'refused("ioctl", -1, 0x541D, 0)', Control.SOMETIMES),
    Attempt(Kind.DEVICES, "open the menu of a console", 'refused("ioctl", -1, 0x541C, 0)', Control.SOMETIMES),
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
    """Code that takes without end, in a folder that it may write: it is ended, and the reason is named."""

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
