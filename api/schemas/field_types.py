"""Field types for people's data, shared by several models."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr, StringConstraints

from api.schemas.base import MAX_LINE, one_line
from domain.emails import MAX_EMAIL, PATTERN, normal_email
from domain.permissions import Scope
from runtime.passwords import MAX_BYTES, MIN_CHARACTERS, check_password


def _settable(password: SecretStr) -> SecretStr:
    check_password(password.get_secret_value())
    return password


Email = Annotated[str, StringConstraints(pattern=PATTERN, max_length=MAX_EMAIL), AfterValidator(normal_email)]
PersonName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINE), one_line(1)]
# For the schema, which counts characters; `check_password` counts bytes.
_LENGTHS = StringConstraints(min_length=MIN_CHARACTERS, max_length=MAX_BYTES)
NewPassword = Annotated[SecretStr, _LENGTHS, AfterValidator(_settable)]
GivenPassword = Annotated[SecretStr, StringConstraints(min_length=1, max_length=MAX_BYTES)]


def _each_once(scopes: list[Scope]) -> list[Scope]:
    return sorted(set(scopes))


Scopes = Annotated[list[Scope], AfterValidator(_each_once)]
