"""What the API's document says, as the SDKs see it: resources, their methods, and what each takes and gives back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "openapi.json"
JSON: Final = "application/json"
VERBS: Final = ("get", "post", "put", "patch", "delete")
# What the client sends by itself, or an option of every call says.
OWN_HEADERS: Final = frozenset({"Idempotency-Key", "Prefer", "Last-Event-ID"})
# What the contract's example leaves out, and the API requires: by method, the fields that are sent then.
ASSUMED: Final[Mapping[str, Mapping[str, str]]] = {"builds.create": {"git_branch": "main"}}
# Without notes these ask others to approve production, as in the contract's example; the API refuses it otherwise.
ASKS_FOR_APPROVAL: Final = frozenset({"deployments.create"})


class Answer(StrEnum):
    """What a method gives back."""

    MODEL = "model"
    """`data` of an envelope: one model, or a list of models that has no pages."""
    PAGE = "page"
    """A page of models, which iterates over all pages."""
    OPERATION = "operation"
    """Always 202: a handle of the operation that was accepted."""
    DOCUMENT = "document"
    """JSON of another media type than the API's, as it is: an SBOM, SARIF, an attestation."""
    LINES = "lines"
    """Text that may be endless: a log, an export; server-sent events where it follows."""
    EVENTS = "events"
    """Server-sent events alone."""
    NOTHING = "nothing"


@dataclass(frozen=True)
class Parameter:
    """A parameter of the path, the query or a header, or a field of the body; `schema` is as in the document."""

    name: str
    place: str  # path, query, header, body
    required: bool
    schema: Json
    description: str


@dataclass(frozen=True)
class Method:
    """One operation of the API."""

    resource: str
    name: str
    operation_id: str
    verb: str
    path: str
    summary: str
    description: str
    deprecated: bool
    parameters: Sequence[Parameter]
    body: str | None  # the name of its schema
    body_required: bool
    answer: Answer
    model: str | None  # the name of the schema in `data`, or of a page's items
    many: bool  # `data` is a list without pages
    media: Sequence[str]  # media types of its success
    others: Mapping[int, str]
    """Success codes that carry another model than `model`: 202 with an accepted operation, whose deployment is then
    read, or with the change of a guard that others must approve."""

    @property
    def sdk_name(self) -> str:
        """`x-sdk-name`: `projects.get`."""
        return f"{self.resource}.{self.name}"

    @property
    def assumed(self) -> Mapping[str, str]:
        """Fields of the body that are sent with these values if they are not given."""
        return ASSUMED.get(self.sdk_name, {})

    @property
    def idempotency_key(self) -> bool:
        """Whether it takes one: the SDK makes one for each logical call."""
        return self.verb in {"post", "patch"}

    def of(self, place: str) -> Sequence[Parameter]:
        """Its parameters of one place, those that are required first."""
        found = [one for one in self.parameters if one.place == place and one.name not in OWN_HEADERS]
        return sorted(found, key=lambda one: not one.required)


@dataclass(frozen=True)
class Api:
    """The whole document."""

    document: Json
    resources: Mapping[str, Sequence[Method]]

    @property
    def schemas(self) -> Mapping[str, Json]:
        return dict(self.document["components"]["schemas"])

    @property
    def methods(self) -> Iterator[Method]:
        for methods in self.resources.values():
            yield from methods


def read(path: Path = DOCUMENT) -> Api:
    """Raises ValueError if an operation has no `x-sdk-name`, or two have the same."""
    document: Json = json.loads(path.read_text())
    resources: dict[str, list[Method]] = {}
    for route, item in document["paths"].items():
        for verb in VERBS:
            if verb in item:
                method = _method(document, route, verb, item[verb])
                if any(method.name == other.name for other in resources.setdefault(method.resource, [])):
                    raise ValueError(f"two operations are called {method.resource}.{method.name}")
                resources[method.resource].append(method)
    return Api(document, resources)


def _method(document: Json, route: str, verb: str, operation: Json) -> Method:
    name = operation.get("x-sdk-name")
    if not name:
        raise ValueError(f"{operation['operationId']} has no name in api/openapi/sdk_names.py")
    resource, _, method = name.partition(".")
    body, fields = _body(document, operation)
    answer, model, many, media, others = _answer(document, operation)
    return Method(
        resource=resource,
        name=method,
        operation_id=operation["operationId"],
        verb=verb,
        path=route,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        deprecated=operation.get("deprecated", False),
        parameters=(*_parameters(document, operation), *fields),
        body=body,
        body_required=operation.get("requestBody", {}).get("required", False),
        answer=answer,
        model=model,
        many=many,
        media=media,
        others=others,
    )


def _parameters(document: Json, operation: Json) -> Iterator[Parameter]:
    for given in operation.get("parameters", ()):
        one = resolved(document, given)
        yield Parameter(one["name"], one["in"], one.get("required", False), one["schema"], one.get("description", ""))


def _body(document: Json, operation: Json) -> tuple[str | None, Sequence[Parameter]]:
    body = resolved(document, operation.get("requestBody", {}))
    schema = body.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return None, ()
    name = _reference(schema)
    if name is None:
        raise ValueError(f"the body of {operation['operationId']} has no name")
    whole = document["components"]["schemas"][name]
    required = whole.get("required", ())
    return name, tuple(
        Parameter(key, "body", key in required, inner, inner.get("description", ""))
        for key, inner in whole.get("properties", {}).items()
    )


def _reference(schema: Json) -> str | None:
    """The one named schema that it is, or may be beside null."""
    kinds = [kind for kind in schema.get("anyOf", (schema,)) if kind.get("type") != "null"]
    reference = kinds[0].get("$ref") if len(kinds) == 1 else None
    return str(reference).rpartition("/")[2] if reference else None


def _answer(document: Json, operation: Json) -> tuple[Answer, str | None, bool, Sequence[str], Mapping[int, str]]:
    good = {
        int(code): resolved(document, one).get("content", {})
        for code, one in sorted(operation["responses"].items())
        if code.startswith("2")
    }
    media = tuple(dict.fromkeys(kind for content in good.values() for kind in content))
    envelopes = {code: content["application/json"]["schema"] for code, content in good.items() if JSON in content}
    if not envelopes:
        return _without_envelope(media), None, False, media, {}
    whole = resolved(document, next(iter(envelopes.values())))
    data = whole.get("properties", {}).get("data")
    if data is None:  # the probes' answers have no envelope
        return Answer.MODEL, _reference(next(iter(envelopes.values()))), False, media, {}
    if data.get("type") == "array":
        paged = "pagination" in whole["properties"]
        return Answer.PAGE if paged else Answer.MODEL, _reference(data["items"]), not paged, media, {}
    model, *rest = [_reference(resolved(document, one)["properties"]["data"]) for one in envelopes.values()]
    others = {code: name for code, name in zip(list(envelopes)[1:], rest, strict=True) if name and name != model}
    answer = Answer.OPERATION if operation["operationId"] == "build_and_deploy" else Answer.MODEL
    return answer, model, False, media, others


def _without_envelope(media: Sequence[str]) -> Answer:
    if not media:
        return Answer.NOTHING
    if all(kind.endswith("+json") for kind in media):
        return Answer.DOCUMENT
    return Answer.EVENTS if set(media) == {"text/event-stream"} else Answer.LINES


def resolved(document: Json, node: Json) -> Json:
    """What a reference stands for; anything else as it is."""
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node
