"""Text of strangers on a terminal: commit messages, log lines and names may hold control sequences."""

import re
from typing import Final

_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard
    r"|\x1b[@-_]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def clean(text: str) -> str:
    """Without control sequences and marks that turn the direction of writing; line ends and tabs stay."""
    return _CONTROL.sub("", text)


def one_line(text: str, width: int = 0) -> str:
    """Cleaned, on one line, cut to `width` columns if that is given."""
    flat = " ".join(clean(text).split())
    return flat if not width or len(flat) <= width else flat[: max(1, width - 1)] + "…"
