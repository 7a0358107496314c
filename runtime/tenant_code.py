"""Texts that explain `trusted_code`: for the stack's start, the workers' log and `/health`."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtime.settings import Settings

TRUSTED = (
    "trusted: builds and services run without isolation, with the rights of the engine's user; "
    "whoever may deploy can read and change everything of this engine and of all its organizations"
)
ISOLATED = (
    "isolated: builds and services see neither the engine nor each other; "
    "docs/isolation.md says by which means, and what that does not cover"
)


def meaning(settings: Settings) -> str:
    """The meaning in one line."""
    return TRUSTED if settings.effective(settings.trusted_code) else ISOLATED


def tell_limits(settings: Settings, sentences: Sequence[str]) -> None:
    """Save which limits this machine does not enforce, as a worker found; for `/health` of the same data folder."""
    file = _limits_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("; ".join(sentences), encoding="utf-8")


def in_full(settings: Settings) -> str:
    """The meaning, and what a worker found."""
    told = ""
    with suppress(OSError):
        told = _limits_file(settings).read_text(encoding="utf-8")
    return f"{meaning(settings)}; {told}" if told else meaning(settings)


def _limits_file(settings: Settings) -> Path:
    return settings.data_dir / "run" / "limits.txt"
