"""Suffixes for host labels that are taken."""

import secrets
import string

ALPHABET = string.ascii_lowercase + string.digits
LENGTH = 5


def unique_suffix() -> str:
    """Five random letters and digits: sixty million of them."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
