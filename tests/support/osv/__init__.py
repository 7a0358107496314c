"""A small set of advisories in OSV's real format (README.md), and mirrors made of it."""

import shutil
import zipfile
from pathlib import Path
from typing import Final

OSV: Final = Path(__file__).parent
ECOSYSTEMS: Final = ("PyPI", "npm", "Go", "Maven")


def folders(mirror: Path) -> Path:
    """A mirror of folders with one file for each advisory."""
    for ecosystem in ECOSYSTEMS:
        shutil.copytree(OSV / ecosystem, mirror / ecosystem)
    return mirror


def archives(mirror: Path) -> Path:
    """A mirror as OSV publishes it: `PyPI/all.zip` and so on."""
    for ecosystem in ECOSYSTEMS:
        (mirror / ecosystem).mkdir(parents=True)
        with zipfile.ZipFile(mirror / ecosystem / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((OSV / ecosystem).glob("*.json")):
                archive.write(path, path.name)
    return mirror
