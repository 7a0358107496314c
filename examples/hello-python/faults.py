"""The fault switch: a version can be made bad on purpose, to see what the delivery engine does about it.

    none             a good version
    errors:5         5 % of the pages answer 500 (the health check does not)
    errors:5:15      the same, from 15 seconds after the first page on
    missing:5        5 % of the pages answer 404 (the health check does not)
    slow:40          every page takes 40 ms longer (the health check does not)
    unhealthy        the health check answers 500
    crash            exits with code 3 at the start
    wrong-port       listens on another port than $PORT
    never-listens    runs, but listens nowhere
    slow-start:2     listens after 2 seconds

The file FAULT is baked in by the build; the environment variable FAULT overrides it.
"""

from dataclasses import dataclass

PLAIN = ("none", "unhealthy", "crash", "wrong-port", "never-listens")


@dataclass(frozen=True)
class Fault:
    """A parsed switch. `amount` is percent for `errors` and `missing`, ms for `slow`, seconds for `slow-start`.

    `after` is for `errors`: seconds from the first page on in which nothing breaks.
    """

    kind: str = "none"
    amount: float = 0.0
    after: float = 0.0

    def breaks_request(self, number: int) -> bool:
        """Whether the request with this running number answers 500 or 404: spread evenly, not by chance."""
        if self.kind not in ("errors", "missing"):
            return False
        return int(number * self.amount / 100) != int((number - 1) * self.amount / 100)


def parse_fault(text: str) -> Fault:
    """Raise ValueError, naming the choices, for a switch that is not in the table above."""
    kind, _, amount = text.strip().partition(":")
    if kind in PLAIN and not amount:
        return Fault(kind)
    if kind == "errors":
        percent, _, after = amount.partition(":")
        return Fault(kind, float(percent), float(after or 0))
    if kind in ("missing", "slow", "slow-start"):
        return Fault(kind, float(amount))
    choices = (*PLAIN, "errors:PERCENT", "errors:PERCENT:AFTER_SECONDS", "missing:PERCENT", "slow:MS", "slow-start:SECONDS")
    raise ValueError(f"unknown fault {text!r}; choose one of {', '.join(choices)}")
