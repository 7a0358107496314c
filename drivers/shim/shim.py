"""The shim: `python -I -S drivers/shim/shim.py <state_dir>`, its `ShimSpec` as JSON on stdin.

Exits when its process was started (0), when another shim holds the state folder (75), or with a reason on stderr. The
shim itself continues in the background, independent of its starter's death, terminal and signals. Stdlib only: it must
start within milliseconds, stay small, and not depend on upgrades of site-packages.
"""

import errno
import json
import os
import resource
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from drivers.shim import leftovers, lock, record
from drivers.shim.spec import ALREADY_RUNNING, DISK_FULL, EXIT, FAILED, LOCK, PID, STARTED, ShimSpec
from drivers.shim.supervisor import ShimSupervisor


def main() -> int:
    """Take the lock, clean up after an earlier shim, and detach from the starter."""
    state_dir = sys.argv[1]
    spec = ShimSpec(**json.load(sys.stdin))
    if lock.take(os.path.join(state_dir, LOCK)) is None:
        return ALREADY_RUNNING
    try:
        known = record.load(os.path.join(state_dir, PID))
        if not leftovers.is_settled(known, record.load(os.path.join(state_dir, EXIT))):
            leftovers.end(spec.cookie, known)
        return _in_background(state_dir, spec)
    except OSError as error:
        return _complain(error)


def _in_background(state_dir: str, spec: ShimSpec) -> int:
    """In the starter's child: wait for the shim's report. In the shim: does not return."""
    listen, speak = os.pipe()
    if os.fork():
        os.close(speak)
        with os.fdopen(listen, "rb") as answer:
            word = answer.read().decode()
        if word == "ok":
            return STARTED
        sys.stderr.write(word or "the shim died while starting")
        return DISK_FULL if f"[Errno {errno.ENOSPC}]" in word else FAILED
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(listen)
    _keep(state_dir, spec, speak)
    os._exit(0)


def _keep(state_dir: str, spec: ShimSpec, speak: int) -> None:
    try:
        supervisor = ShimSupervisor(state_dir, spec)
        _detach()
    except OSError as error:
        os.write(speak, str(error).encode())
        os._exit(1)
    os.write(speak, b"ok")
    os.close(speak)
    try:
        supervisor.run()
    except BaseException:
        import traceback  # noqa: PLC0415 - slow to load and hardly ever needed

        with open(os.path.join(state_dir, "shim.err"), "w") as file:
            traceback.print_exc(file=file)
        raise


def _detach() -> None:
    os.chdir("/")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # this memory contains secrets
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _complain(error: OSError) -> int:
    sys.stderr.write(str(error))
    return DISK_FULL if error.errno == errno.ENOSPC else FAILED


if __name__ == "__main__":
    sys.exit(main())
