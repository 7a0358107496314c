"""What goes wrong, in words that say what to do.

Fault                a message, perhaps a hint, an exit code, and whether trying again may help
├── UsageFault       arguments, files or settings of the caller: 2
├── Unreachable      nobody answers, or not the API: 5
└── Ended            a delivery ended otherwise than well: 1, 3 or 4
"""

from collections.abc import Mapping
from typing import Any

from delivery_cli.exits import Exit


class Fault(Exception):
    """Ends the command with a message for people, or as JSON for programs.

    Attributes:
        hint: what to do about it, one line.
        exit_code: how the command ends.
        retryable: whether the same command may succeed later.
        facts: what an error response said besides (`code`, `status`, `details`, `request_id`).
    """

    exit_code = Exit.FAILED
    code = "FAILED"

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        exit_code: Exit | None = None,
        retryable: bool = False,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.facts = dict(facts or {})
        if exit_code is not None:
            self.exit_code = exit_code

    def as_json(self) -> dict[str, Any]:
        """For standard error, with `--json`."""
        known = {name: value for name, value in self.facts.items() if value is not None}
        return {
            "code": known.pop("code", self.code),
            "message": self.message,
            "hint": self.hint or None,
            "retryable": self.retryable,
            "exit_code": int(self.exit_code),
            **known,
        }


class UsageFault(Fault):
    """The caller's: arguments, files or settings."""

    exit_code = Exit.USAGE
    code = "USAGE"


class Unreachable(Fault):
    """Nobody answers there, or not the API."""

    exit_code = Exit.UNREACHABLE
    code = "UNREACHABLE"


class Ended(Fault):
    """A delivery ended otherwise than well, or waits for a person."""
