"""Secrets in requests and responses: values come in and never go out."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, SecretStr, model_validator

from api.schemas.base import Body, Timestamp, View
from api.schemas.patches import Patch
from domain.lifecycle import EnvironmentName
from domain.secrets import BY_ENVIRONMENT, MAX_VALUE, SecretKind, SecretName, is_read_early, is_reserved

Value = Annotated[
    SecretStr, Field(min_length=1, max_length=MAX_VALUE, description="at most 64 KiB in UTF-8; no answer shows it")
]


class SecretCreate(Body):
    """A new secret. `environment`: for that one only; without it, for all of the project's."""

    name: SecretName
    kind: SecretKind = SecretKind.SERVICE_ENV
    environment: EnvironmentName | None = None
    value: Value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.environment is not None and self.kind not in BY_ENVIRONMENT:
            msg = f"a {self.kind} is for the whole project; leave environment out"
            raise ValueError(msg)
        if self.kind is SecretKind.SERVICE_ENV and (is_reserved(self.name) or is_read_early(self.name)):
            msg = f"{self.name} is set by the engine or the system; choose another name"
            raise ValueError(msg)
        return self


class SecretPatch(Patch):
    """A new value; running instances keep the old one until they restart."""

    value: Value = SecretStr("")


class SecretView(View):
    """A secret without its value. `host`: the one that a git token is sent to."""

    id: UUID
    project_id: UUID
    name: str
    kind: SecretKind
    environment: EnvironmentName | None
    version: int
    host: str | None
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp
