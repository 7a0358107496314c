"""Secrets of the embedded stack: made once, one file each, readable by the owner alone."""

import secrets
from pathlib import Path

from runtime.private_files import write_private


def password(folder: Path, name: str) -> str:
    """The password kept under that name; made at first use."""
    path = folder / f"{name}.password"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text().strip()
