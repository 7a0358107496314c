"""Run a program as not-root from root: `python -I -S demote.py UID GID PROGRAM ARGS...`.

PostgreSQL refuses to run as root. In a user namespace that maps UID to the caller, it sees itself as UID while the
host still takes it for the caller, so a data folder under a 0700 home just works. The program replaces this
process (same pid), so that signals reach it. Standard library only: it starts in 20 ms.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000


def main() -> None:
    """Enter the namespace and become the program; exits 71 when namespaces are denied."""
    uid, gid, *argv = sys.argv[1:]
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        sys.stderr.write(f"user namespaces are denied: {os.strerror(ctypes.get_errno())}\n")
        sys.exit(os.EX_OSERR)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside_gid} 1")
    os.execv(argv[0], argv)  # noqa: S606 - becoming the program is the purpose, no shell is involved


if __name__ == "__main__":
    main()
