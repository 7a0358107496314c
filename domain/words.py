"""Messages for invalid values: one sentence for each kind of fault that a schema can find."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from domain import emails, redirect_uris, secrets, wire

OTHERWISE: Final = "is not valid here"
_TEXT = "must be text"
_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
_YES_NO = "must be true or false"
_LIST = "must be a list"
_OBJECT = "must be an object"
_MOMENT = "must be a moment such as 2024-10-26T10:30:00Z"
_DAY = "must be a day such as 2024-10-26"
_TIME = "must be a time of the day such as 10:30:00"
_SPAN = "must be a length of time such as PT30M"
_ID = "must be an id such as 0193b5a0-0000-7000-8000-000000000000"
_URL = "must be an address such as https://example.com"
_BYTES = "must be bytes"
_DECIMAL = "must be a decimal number"
_JSON = "must be JSON"

# By the type of a fault; the schema's values are in braces.
WORDS: Final[Mapping[str, str]] = {
    "missing": "is required",
    "missing_argument": "is required",
    "missing_keyword_only_argument": "is required",
    "missing_positional_only_argument": "is required",
    "missing_sentinel_error": "must be left out",
    "extra_forbidden": "is not known here; look at the documentation for the fields that there are",
    "unexpected_keyword_argument": "is not known here",
    "unexpected_positional_argument": "is not known here",
    "multiple_argument_values": "is given more than once",
    "invalid_key": "must have text as its names",
    "none_required": "must be null",
    "frozen_field": "cannot be changed",
    "frozen_instance": "cannot be changed",
    "literal_error": "must be one of: {expected}",
    "enum": "must be one of: {expected}",
    "string_type": _TEXT,
    "string_unicode": "must be text in Unicode, without lone surrogates",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be written as it is here: {pattern}",
    "string_not_ascii": "must have characters of ASCII only",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "must be a whole number with fewer digits",
    "int_from_float": "must be a whole number, without a fraction",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "complex_type": _NUMBER,
    "complex_str_parsing": _NUMBER,
    "decimal_type": _DECIMAL,
    "decimal_parsing": _DECIMAL,
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_max_places": "must have at most {decimal_places} digits behind the point",
    "decimal_whole_digits": "must have at most {whole_digits} digits before the point",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "bool_type": _YES_NO,
    "bool_parsing": _YES_NO,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "set_item_not_hashable": "must not hold lists or objects",
    "iterable_type": _LIST,
    "iteration_error": _LIST,
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "dict_type": _OBJECT,
    "mapping_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dataclass_type": _OBJECT,
    "dataclass_exact_type": _OBJECT,
    "arguments_type": _OBJECT,
    "get_attribute_error": _OBJECT,
    "union_tag_invalid": "must name one of: {expected_tags}",
    "union_tag_not_found": "must say of which kind it is",
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "datetime_past": "must be in the past",
    "datetime_future": "must be in the future",
    "timezone_naive": "must say its offset from UTC, such as Z or +02:00",
    "timezone_aware": "must not say an offset from UTC",
    "timezone_offset": "must have the offset from UTC that is asked for here",
    "date_type": _DAY,
    "date_parsing": _DAY,
    "date_from_datetime_parsing": _DAY,
    "date_from_datetime_inexact": _DAY,
    "date_past": "must be in the past",
    "date_future": "must be in the future",
    "time_type": _TIME,
    "time_parsing": _TIME,
    "time_delta_type": _SPAN,
    "time_delta_parsing": _SPAN,
    "uuid_type": _ID,
    "uuid_parsing": _ID,
    "uuid_version": _ID,
    "url_type": _URL,
    "url_parsing": _URL,
    "url_syntax_violation": _URL,
    "url_too_long": "must have at most {max_length} characters",
    "url_scheme": "must begin with one of: {expected_schemes}",
    "bytes_type": _BYTES,
    "bytes_too_short": "must have at least {min_length} bytes",
    "bytes_too_long": "must have at most {max_length} bytes",
    "bytes_invalid_encoding": "must be text",
    "json_type": _JSON,
    "json_invalid": _JSON,
    "value_error": "{error}",
    "assertion_error": "{error}",
    "fraction_type": _NUMBER,
    "fraction_parsing": _NUMBER,
    "deque_type": _LIST,
    "named_tuple_type": _LIST,
    "counter_type": _OBJECT,
    "ordered_dict_type": _OBJECT,
    "frozen_dict_type": _OBJECT,
    "recursion_depth_exceeded": "is nested too deeply",
    # These come from Python objects, never from JSON.
    "no_such_attribute": OTHERWISE,
    "needs_python_object": OTHERWISE,
    "recursion_loop": OTHERWISE,
    "default_factory_not_called": OTHERWISE,
    "is_instance_of": OTHERWISE,
    "is_subclass_of": OTHERWISE,
    "callable_type": OTHERWISE,
    "ellipsis_error": OTHERWISE,
}


# The meaning of a pattern in words; those of repository files have their own messages.
PATTERNS: Final[Mapping[str, str]] = {
    emails.PATTERN: "must be an e-mail address such as ada@example.com",
    redirect_uris.PATTERN: "must be an address such as https://example.com/callback",
    secrets.NAME: "must be a name such as API_TOKEN: upper case letters, digits and underscores, no digit first",
    r"^https?://[!-~]+$": "must be an address such as https://example.com/hooks",
    r"^[a-z0-9-]+$": "must have lower case letters, digits and hyphens only",
    r"^[^'\"`]+$": "must not contain quotes",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "must be a name of letters, digits and underscores, no digit first",
    r"^/": "must begin with /",
    wire.COOKIE_NAME: "must have 1 to 64 letters, digits, underscores and hyphens",
    wire.AUTHORITY: "must be the name of a host such as example.com, with or without a port",
}


def words_of(fault: Mapping[str, Any]) -> str:
    """The message for one fault of a schema; its subject is the field."""
    given = fault.get("ctx", {})
    if given.get("pattern") in PATTERNS:
        return PATTERNS[given["pattern"]]
    context = {name: _shown(value) for name, value in given.items()}
    words = WORDS.get(fault["type"], OTHERWISE)
    if words == "must have at least {min_length} characters" and context.get("min_length") == "1":
        return "must not be empty"
    if words == "must have at least {min_length} entries" and context.get("min_length") == "1":
        return "must have at least one entry"
    with suppress(KeyError):
        return words.format_map(context)
    return OTHERWISE


def _shown(value: Any) -> str:
    return str(value).replace(" or ", ", ").replace("'", "") if isinstance(value, str) else str(value)
