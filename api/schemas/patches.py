"""Partial changes: JSON merge patch (RFC 7396) of known fields; null clears an optional field."""

from typing import Any, Self

from pydantic import ConfigDict, model_validator

from api.schemas.base import Body


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)
    schema["minProperties"] = 1


class Patch(Body):
    """Base of PATCH bodies. Defaults are placeholders: only given fields count."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one field to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The given fields and their new values."""
        return {name: value for name, value in self.model_dump().items() if name in self.model_fields_set}
