"""`python -m drivers.targets.process --root FOLDER --pause`: end all instances, for a clean stop of the stack.

The worker restarts them from the database when the stack is up again.
"""

import argparse
import asyncio
from pathlib import Path

from drivers.artifacts.folder import FolderArtifactStore
from drivers.targets.process import ProcessTarget


def main() -> None:
    """Entry point; prints the number of ended instances."""
    parser = argparse.ArgumentParser(prog="drivers.targets.process", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--pause", action="store_true", required=True)
    root: Path = parser.parse_args().root
    if not root.is_dir():
        print(0)  # noqa: T201 - a command's answer
        return
    target = ProcessTarget(root, FolderArtifactStore(root.parent / "artifacts"), trusted_code=True)
    print(asyncio.run(target.pause()))  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
