"""`make bench`: figures of this machine, from a stack of its own. Prints them; asserts nothing about speed.

.venv/bin/python -m tests.bench [--rounds N]
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from tests.bench.rollback import RPS, rollback_times
from tests.support.platform import Platform


def main() -> int:
    """Start a stack, measure, stop it."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rollbacks to measure, at most 12")
    rounds = min(12, parser.parse_args().rounds)
    folder = Path(tempfile.mkdtemp(prefix="de-bench-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL may run as another user when we are root
    platform = Platform(folder / "data", folder / "repositories")
    try:
        times = sorted(rollback_times(platform, rounds))
    finally:
        platform.close()
        shutil.rmtree(folder, ignore_errors=True)
    say(f"rollback under {RPS} requests/s, from the API call to the last request of the bad release, {rounds} times:")
    say(f"  median {statistics.median(times):.0f} ms, slowest {times[-1]:.0f} ms")
    say(f"  all: {', '.join(f'{one:.0f}' for one in times)} ms")
    return 0


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
