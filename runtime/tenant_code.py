"""What `trusted_code` means, in the words that the stack says at its start, workers log and `/health` answers."""

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
    """In one line."""
    return TRUSTED if settings.effective(settings.trusted_code) else ISOLATED
