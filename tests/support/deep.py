"""Short and long forms: `make test` runs the short ones, `make test-deep` the long ones (it sets DEEP=1).

A test with both is marked `shortened`; one that only the long run has is marked `deep`.
"""

import os
from typing import TypeVar

SETTING = "DEEP"
DEEP = os.environ.get(SETTING) == "1"

T = TypeVar("T")


def by_depth(short: T, long: T) -> T:
    """What this run takes: examples of a property, phases of a tool."""
    return long if DEEP else short
