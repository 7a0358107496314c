"""The changes in an audit entry: field, old and new value. Secrets are left out, and sizes are limited."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

MAX_VALUE = 1024
MAX_CHANGES = 16 * 1024
# Words in field names that mark a secret: its value is never shown, only that it changed.
SECRET_WORDS = frozenset(
    {"password", "passwords", "secret", "secrets", "token", "tokens", "key", "keys", "hash", "hashes", "sealed"}
    | {"credential", "credentials", "passphrase", "cookie", "authorization"}
)
NO_SECRETS = frozenset({"git_commit_hash"})
# Fields without information: they repeat the entry's own, or change with every change.
NOT_SHOWN = frozenset({"id", "organization_id", "created_at", "updated_at"})
HIDDEN = {"changed": True}
NOUNS = {"memberships": "member"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_IN_URL = re.compile(r"(://)[^/@\s]+@")


def noun_of(table: str) -> str:
    """The singular of a table's name for actions: `feature` for `features`, `test_case` for `test_cases`."""
    if table in NOUNS:
        return NOUNS[table]
    return f"{table[:-3]}y" if table.endswith("ies") else table.removesuffix("s")


def removal_of(table: str) -> str:
    """The verb for deleting a row: people are removed from an organization, not deleted."""
    return "removed" if table in NOUNS else "deleted"


def is_secret(name: str) -> bool:
    """Whether a field with this name may contain a secret (`api_key`, `passwordHash`, `value_sealed`)."""
    return name not in NO_SECRETS and any(word.lower() in SECRET_WORDS for word in _WORD.findall(name))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """By field, `{"from": ..., "to": ...}` of the differences; a missing side is left out.

    Values longer than `MAX_VALUE` bytes of JSON are cut; beyond `MAX_CHANGES` in total, fields are only named.
    """
    changes: dict[str, Any] = {}
    left = MAX_CHANGES
    for name in sorted({*before, *after} - NOT_SHOWN):
        if name in before and name in after and before[name] == after[name]:
            continue
        found = HIDDEN if is_secret(name) else _sides(name, before, after)
        size = _size(found)
        left -= size
        changes[name] = found if left >= 0 else HIDDEN
    return changes


def _sides(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {side: shown(values[name]) for side, values in (("from", before), ("to", after)) if name in values}


def shown(value: Any) -> Any:
    """A value as JSON for the log: without secrets, cut to `MAX_VALUE` bytes."""
    plain = _plain(value)
    if _size(plain) <= MAX_VALUE:
        return plain
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return text.encode()[:MAX_VALUE].decode(errors="ignore") + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): "(hidden)" if is_secret(str(name)) else _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, str):
        return _IN_URL.sub(r"\1(hidden)@", value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
