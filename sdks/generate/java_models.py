"""The models of the Java SDK: openapi-generator with our templates (sdks/java/generator)."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any, Final

from sdks.generate.description import Api, Json
from sdks.generate.java_names import beside_null, references, words_of
from sdks.generate.java_tools import generator

SDK: Final = Path(__file__).parents[1] / "java"
SOURCES: Final = Path("src/main/java/com/aiagents/sdk")
# What an `Envelope` is for, and what only errors have, is read by the core.
TRANSPORTED: Final = re.compile(r"(Envelope|Page|List)$|^(Meta|LimitedMeta|Pagination|Problem|ErrorBody)$")
LIMITS: Final = frozenset({
    "const", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "uniqueItems", "default", "example", "examples", "x-error-codes", "title",
})  # fmt: skip
# What the lines of a stream are; the document cannot say it of text.
STREAMED: Final = {
    "operations.events": "Operation",
    "operations.logs": "LogLine",
    "builds.logs": "LogLine",
    "deployments.logs": "LogLine",
    "audit_log.export": "AuditEntry",
    "audit_log.export_platform": "PlatformAuditEntry",
}


def models(api: Api) -> dict[str, str]:
    """The text of each model by its file's name."""
    with tempfile.TemporaryDirectory(prefix="sdks-java-models-") as folder:
        document = Path(folder) / "openapi.json"
        document.write_text(json.dumps(_document_of_models(api)))
        made = Path(folder) / "made"
        generator(
            "generate",
            *("--input-spec", str(document), "--config", str(SDK / "generator" / "config.yaml")),
            *("--template-dir", str(SDK / "generator" / "templates"), "--output", str(made), "--skip-validate-spec"),
        )
        return {path.name: path.read_text() for path in sorted((made / SOURCES / "models").glob("*.java"))}


def _document_of_models(api: Api) -> Json:
    """The schemas that become models, in words that Javadoc takes; the operations are ours."""
    schemas = {name: _plain(api.schemas[name]) for name in sorted(_wanted(api))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "models", "version": "1"},
        "paths": {},
        "components": {"schemas": schemas},
    }


def _wanted(api: Api) -> set[str]:
    """Schemas that answers, parameters and events are made of; bodies are the parameters of their method."""
    roots = [method.model for method in api.methods if method.model]
    roots += [name for method in api.methods for name in method.others.values()]
    roots += [name for item in api.document["webhooks"].values() for name in references(item["post"]["requestBody"])]
    roots += [*STREAMED.values(), "OperationFailure", "OperationStep", "Fault"]
    found = set(roots)
    stack: list[Any] = [api.schemas[name] for name in found]
    stack += [parameter.schema for method in api.methods for parameter in method.parameters]
    while stack:
        for name in references(stack.pop()):
            if name not in found and not TRANSPORTED.search(name):
                found.add(name)
                stack.append(api.schemas[name])
    return found


def _plain(node: Any) -> Any:
    """A schema as our templates want it: no limits (the server checks), and what may be null is not required."""
    if isinstance(node, list):
        return [_plain(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    kept = {key: inner for key, inner in node.items() if key not in LIMITS}
    made = {key: _plain(inner) for key, inner in kept.items() if key not in {"properties", "description"}}
    if isinstance(kept.get("description"), str):
        made["description"] = words_of(kept["description"])
    if "properties" in kept:
        made["properties"] = {name: _property(inner) for name, inner in kept["properties"].items()}
        made["required"] = [name for name in kept.get("required", ()) if not beside_null(kept["properties"][name])[1]]
    return made


def _property(schema: Json) -> Json:
    kind, _ = beside_null(schema)
    words = {} if "$ref" in kind or "description" not in schema else {"description": schema["description"]}
    made: Json = _plain({**kind, **words})
    return made
