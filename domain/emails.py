"""E-mail addresses in one normal form, so that a person is not counted twice."""

import re
from typing import Final

MAX_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
# What mail is really sent to; quoted local parts and address literals are not.
PATTERN: Final = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
)
_EMAIL = re.compile(PATTERN)


def normal_email(text: str) -> str:
    """An address in lower case, as it is stored and looked for.

    Raises:
        ValueError: it is none.
    """
    if len(text) > MAX_EMAIL or not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address such as ada@example.com")
    return text.lower()


# One service with two names, which ignores dots: `a.da@googlemail.com` is `ada@gmail.com`.
_GMAIL: Final = frozenset({"gmail.com", "googlemail.com"})


def mailbox(email: str) -> str:
    """Names where an address's mail arrives, for telling people apart: `ada+ci@example.com` is Ada's mailbox too."""
    local, _, host = email.lower().rpartition("@")
    local = local.partition("+")[0] or local
    if host in _GMAIL:
        local, host = local.replace(".", "") or local, "gmail.com"
    return f"mailbox:{local}@{host}"
