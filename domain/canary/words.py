"""Numbers in words, for people who were not there."""

import math

from domain.canary.evidence import e_value

_MUCH = 1e6


def share(hits: int, trials: int) -> str:
    """`5.2 % (52 of 1000)`."""
    return f"{100 * hits / trials:.3g} % ({hits} of {trials})" if trials else "no requests"


def requests(count: int) -> str:
    """`1 request`, `no requests`."""
    return f"{count or 'no'} request{'' if count == 1 else 's'}"


def milliseconds(value: float | None, highest: float) -> str:
    """A quantile that is known by the bucket it lies in."""
    return f"above {highest:g} ms" if value is None else f"at most {value:g} ms"


def evidence_words(log: float, log_limit: float) -> str:
    """`evidence 12.3 of 200`: the e-value, and where it fails the release."""
    value = e_value(log)
    told = f"over {_MUCH:,.0f}" if value > _MUCH else f"{value:.3g}"
    return f"evidence {told} of {math.exp(log_limit):.4g}"
