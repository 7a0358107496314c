"""E-mail addresses in normal form, so that a person is not counted twice."""

import re
from typing import Final

MAX_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets
# The addresses used in practice; quoted local parts and address literals are not accepted.
PATTERN: Final = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
)
_EMAIL = re.compile(PATTERN)


def normal_email(text: str) -> str:
    """An address in lower case, for storage and lookup.

    Raises:
        ValueError: it is invalid.
    """
    if len(text) > MAX_EMAIL or not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address such as ada@example.com")
    return text.lower()


# One service with two domains, which ignores dots: `a.da@googlemail.com` is `ada@gmail.com`.
_GMAIL: Final = frozenset({"gmail.com", "googlemail.com"})


def mailbox(email: str) -> str:
    """The mailbox of an address, to match people: `ada+ci@example.com` is Ada's mailbox too."""
    local, _, host = email.lower().rpartition("@")
    local = local.partition("+")[0] or local
    if host in _GMAIL:
        local, host = local.replace(".", "") or local, "gmail.com"
    return f"mailbox:{local}@{host}"
