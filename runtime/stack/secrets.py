"""Secrets of the embedded stack: made once, one file each, readable by the owner alone."""

import secrets
from pathlib import Path

from runtime.files import PRIVATE, write_whole


def password(folder: Path, name: str) -> str:
    """The password kept under that name; made at first use."""
    path = folder / f"{name}.password"
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(32), sync=True, mode=PRIVATE)
    return path.read_text().strip()
