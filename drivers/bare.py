"""The environment of other people's code: nothing of ours, only what every program expects."""

import sys
from pathlib import Path

_STANDARD = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def bare_environment(home: Path, tmp: Path) -> dict[str, str]:
    """PATH begins with the engine's own interpreter, so that `python3` is the same one on every machine."""
    folders = dict.fromkeys((f"{sys.base_prefix}/bin", *_STANDARD))
    return {"PATH": ":".join(folders), "HOME": str(home), "TMPDIR": str(tmp), "LANG": "C.UTF-8"}
