"""`python figures.py`: what the package weighs, and what importing it costs, on this machine.

The wheel is built into a folder that is removed (it needs `build` and `hatchling`).
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parent
CLIENT = "from ai_agents import Client; Client(base_url='https://api.example.com', api_key='k')"
FIRST = "; from ai_agents import models; import httpx2"
TRIES = 3
LIMIT_S = 300


def spent() -> float:
    """Seconds of the processor that this process's children have taken: a busy machine does not count."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def best(code: str) -> float:
    """Milliseconds of the processor that the cheapest of some runs of a new interpreter takes."""
    times = []
    environment = {**os.environ, "PYTHONPATH": str(HOME / "src")}
    for _ in range(TRIES):
        began = spent()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=LIMIT_S)
        times.append(spent() - began)
    return min(times) * 1000


def main() -> None:
    """Print them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, HOME]
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
        (wheel,) = Path(folder).glob("*.whl")
        print(f"the wheel: {wheel.stat().st_size / 1024:.0f} KiB")
    nothing, client, first = best("pass"), best(CLIENT), best(CLIENT + FIRST)
    print(f"an interpreter: {nothing:.0f} ms; with a client: {client - nothing:.0f} ms more;", end=" ")
    print(f"with what the first call imports: {first - nothing:.0f} ms more")


if __name__ == "__main__":
    main()
