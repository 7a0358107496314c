"""Inserts the contract's examples."""

import json
from pathlib import Path
from typing import Any

from api.openapi.samples import META, Samples, sample_id
from api.openapi.traversal import Json, operations, target
from api.openapi.webhooks import give_webhook_examples

# By schema: the contract's values of requests and resources. By operation: values that differ in its answer.
KNOWN: dict[str, dict[str, Json]] = json.loads(Path(__file__).with_name("examples.json").read_text())


def give_examples(document: Json) -> None:
    """An example for every body, answer and parameter."""
    samples = Samples(document, KNOWN["schemas"])
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            _give_parameter(samples, parameter)
        for media in operation.get("requestBody", {}).get("content", {}).values():
            media.setdefault("example", samples.of(media["schema"]))
        for status, answer in operation["responses"].items():
            if "$ref" not in answer:
                _give_answer(document, samples, operation, int(status), answer)
    give_webhook_examples(document, samples)


def _give_parameter(samples: Samples, parameter: Json) -> None:
    """For required parameters only: interactive pages fill in examples, and filters are better left empty."""
    if not parameter.get("required") or {"example", "examples"} & parameter.keys():
        return
    name = parameter["name"]
    identity = parameter["in"] == "path" and name.endswith("_id")
    parameter["example"] = sample_id(name) if identity else samples.of(parameter["schema"], name)


def _give_answer(document: Json, samples: Samples, operation: Json, status: int, answer: Json) -> None:
    media = answer.get("content", {}).get("application/json")
    if media is None or not media.get("schema") or "example" in media:
        return
    schema = target(document, media["schema"])
    if "success" not in schema.get("properties", {}):
        media["example"] = samples.of(media["schema"])
        return
    changed = KNOWN["operations"].get(f"{operation['operationId']} {status}", {})
    media["example"] = _envelope(samples, schema, status, changed)


def _envelope(samples: Samples, schema: Json, status: int, changed: Json) -> Json:
    data: Any = samples.of(schema["properties"]["data"], "data")
    if isinstance(data, dict):
        data.update(changed)
    envelope: Json = {"success": True, "status": status, "data": data}
    if "pagination" in schema["properties"]:
        envelope["pagination"] = samples.of(schema["properties"]["pagination"])
    return {**envelope, "meta": META}
