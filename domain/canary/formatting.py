"""Formats numbers for reasons."""

import math

from domain.canary.evidence import e_value

_MUCH = 1e6
_DIGITS = 3


def number(value: float) -> str:
    """Three significant digits, never as a power of ten: `0.741`, `12.3`, `1234`."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    after_point = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{after_point}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(part: float) -> str:
    """A share between 0 and 1 as `5.2 %`. Less than everything is never rounded up to 100 %."""
    text = number(100 * part)
    return "over 99.9 %" if text == "100" and part < 1 else f"{text} %"


def share(hits: int, trials: int) -> str:
    """`5.2 % (52 of 1000)`."""
    return f"{percent(hits / trials)} ({hits} of {trials})" if trials else "no requests"


def requests(count: int) -> str:
    """`1 request`, `no requests`."""
    return f"{count or 'no'} request{'' if count == 1 else 's'}"


def milliseconds(value: float | None, highest: float) -> str:
    """A quantile that is known by its bucket."""
    return f"above {number(highest)} ms" if value is None else f"at most {number(value)} ms"


def evidence_words(log: float, log_limit: float) -> str:
    """`evidence 12.3 of 200`: the e-value, and the limit at which the release fails."""
    value = e_value(log)
    told = f"over {_MUCH:,.0f}" if value > _MUCH else number(value)
    return f"evidence {told} of {number(math.exp(log_limit))}"
