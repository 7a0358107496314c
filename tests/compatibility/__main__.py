"""`python -m tests.compatibility`: no change of the API since the last release breaks a client.

The promise is twelve months' compatibility. Compares `docs/openapi-3.0.json` with `docs/released/openapi-3.0.json` by
api-smart-diff. What it calls breaking and is not goes into `docs/released/accepted.txt` with a reason; what is breaking
needs a new version of the API. `--release` makes today's document the one that later changes are compared with: a
release does that, and nothing else.
"""

import shutil
import sys
from pathlib import Path

from tests.spectral.__main__ import HOME, ROOT, install, node

HERE = Path(__file__).resolve().parent
COMPARER = HOME / "node_modules" / "api-smart-diff" / "dist" / "index.mjs"
NOW = ROOT / "docs" / "openapi-3.0.json"
RELEASED = ROOT / "docs" / "released" / "openapi-3.0.json"
ACCEPTED = ROOT / "docs" / "released" / "accepted.txt"
LIMIT_S = 120


def compare(before: Path, after: Path) -> int:
    """Print what is breaking between two documents; 0: nothing is."""
    install()
    return node(HERE / "compare.mjs", COMPARER, before, after, ACCEPTED, cwd=ROOT, limit_s=LIMIT_S)


def main(arguments: list[str]) -> int:
    """Compare with the last release, or make one."""
    if arguments == ["--release"]:
        shutil.copy(NOW, RELEASED)
        kept = [line for line in ACCEPTED.read_text().splitlines(keepends=True) if line.startswith("#")]
        ACCEPTED.write_text("".join(kept))
        return 0
    return compare(RELEASED, NOW)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
