import subprocess
import sys

from tests.support.freezing import freeze, thaw

COUNTING = """
import itertools, sys, threading
for _ in range(8):
    threading.Thread(target=lambda: [None for _ in itertools.count()], daemon=True).start()
for number in itertools.count():
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_what_is_frozen_does_nothing_from_then_on() -> None:
    with subprocess.Popen([sys.executable, "-c", COUNTING], stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            for _ in range(5):
                freeze(process.pid)
                states = [_state_of(process.pid), _state_of(process.pid)]
                assert states == ["T", "T"]
                thaw(process.pid)
        finally:
            process.kill()


def _state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123 - one line of the kernel's
        return file.read().rpartition(")")[2].split()[0]
