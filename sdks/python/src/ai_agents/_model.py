"""The base of all models: what came is kept, whether or not it is what this version knows."""

from __future__ import annotations

import types
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import Self

# Fields that would be harm in a log.
SECRET = frozenset({"key", "secret", "client_secret", "token", "value", "password"})


class Model(BaseModel):
    """What the API answered. Fields that this version does not know are attributes too."""

    model_config = ConfigDict(extra="allow", defer_build=True, hide_input_in_errors=True, protected_namespaces=())

    @classmethod
    def of(cls, data: dict[str, Any]) -> Self:
        """A model of an object, also of one that a newer or older server made.

        A field that is missing is None, a value that is of another kind than this version knows stays as it came.
        """
        try:
            return cls.model_validate(data)
        except ValidationError:
            known = {name: _read(field.annotation, data.get(name)) for name, field in cls.model_fields.items()}
            whole = {**data, **known}
            return cls.model_construct(_fields_set=set(data), **whole)  # type: ignore[return-value, unused-ignore]

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, "..." if name in SECRET and value is not None else value


def _read(annotation: Any, value: Any) -> Any:
    if value is None:
        return None
    try:
        return _adapter(annotation).validate_python(value)
    except ValidationError:
        return _in_parts(annotation, value)


def _in_parts(annotation: Any, value: Any) -> Any:
    """A value that is not all of its kind: those of its parts that are, are read."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return _in_parts(next((one for one in arguments if _holds_models(one)), None), value)
    if origin is list and isinstance(value, list):
        return [_read(arguments[0], one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if origin is dict and isinstance(value, dict):
        return {name: _read(arguments[1], one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(annotation, type) and issubclass(annotation, Model) and isinstance(value, dict):
        return annotation.of(value)  # pyright: ignore[reportUnknownArgumentType]
    return value


def _holds_models(annotation: Any) -> bool:
    if isinstance(annotation, type) and not get_origin(annotation):
        return issubclass(annotation, Model)
    return any(map(_holds_models, get_args(annotation)))


@lru_cache(maxsize=1024)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)
