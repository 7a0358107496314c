"""The shim's lock: held exactly as long as the shim lives, and testable without taking it.

An open file description lock (`F_OFD_SETLK`) stays with the open file over fork, and `F_OFD_GETLK` tests it without
taking it, so a probe can never make a starting shim believe that another one runs.
"""

import fcntl
import os
import struct

# struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid (which must be 0 here)
_LAYOUT = "hhqqi"


def _request(kind: int) -> bytes:
    return struct.pack(_LAYOUT, kind, os.SEEK_SET, 0, 0, 0)


def take(path: str) -> int | None:
    """Take the lock; the returned descriptor holds it until it is closed everywhere. None: it is held already."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK))
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor


def is_held(path: str) -> bool:
    """Whether the lock is held now. A missing file is not held."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK))
    finally:
        os.close(descriptor)
    return int(struct.unpack(_LAYOUT, answer)[0]) != fcntl.F_UNLCK
