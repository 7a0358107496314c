"""`x-error-codes`: every code that an error can have, for clients that make classes of them.

The codes are no enum of the document: a newer server may have more, and a client that refuses an unknown one breaks.
"""

from collections.abc import Mapping
from typing import Final

from api.http.errors import STATUS
from api.http.problem_details import TITLES
from api.openapi.responses import ERRORS
from api.openapi.traversal import Json
from domain.error_meanings import MEANINGS, PASSING
from domain.errors import ErrorCode

NAME: Final = "x-error-codes"
# Codes that usually end an operation, and answer a request as well (`api.http.errors.status_of`).
ANSWERED: Final[Mapping[ErrorCode, int]] = {ErrorCode.VERSION_TAG_TAKEN: 409}


def add_error_codes(document: Json) -> None:
    """Put them beside the schema of errors."""
    document["components"]["schemas"]["ErrorBody"][NAME] = error_codes()


def error_codes() -> Json:
    """By code: its usual HTTP status and all it can have, null and none if it only ends operations; a sentence."""
    several = _statuses()
    return {
        str(code): {
            "status": {**ANSWERED, **STATUS}.get(code),
            "statuses": sorted(several.get(code, set())),
            "retryable": code in PASSING,
            "meaning": TITLES.get(code) or MEANINGS[code],
        }
        for code in ErrorCode
    }


def _statuses() -> Mapping[ErrorCode, set[int]]:
    found = {code: {status} for code, status in {**ANSWERED, **STATUS}.items()}
    for status, (_, _, codes) in ERRORS.items():
        for code, _ in codes:
            found[code].add(status)
    return found
