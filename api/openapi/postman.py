"""A Postman collection (v2.1) from an OpenAPI document: a folder per tag, a request per operation, examples."""

import json
import re
from typing import Any

from api.openapi.samples import sample_id
from api.openapi.traversal import Json, body_of, operations, parameters_of, target

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_LANGUAGE = {"raw": {"language": "json"}}


def collection(document: Json) -> Json:
    """The collection. It has two variables: the API's URL and the access token."""
    folders: dict[str, list[Json]] = {tag["name"]: [] for tag in document["tags"]}
    for path, method, operation in operations(document):
        folders[operation["tags"][0]].append(_item(path, method, _in_full(document, operation)))
    return {
        "info": {
            "_postman_id": sample_id("postman"),
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "schema": SCHEMA,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [
            {"key": "base_url", "value": "http://127.0.0.1:8080/v1"},
            {"key": "token", "value": ""},
        ],
        "item": [
            {"name": tag["name"], "description": tag["description"], "item": folders[tag["name"]]}
            for tag in document["tags"]
        ],
    }


def _in_full(document: Json, operation: Json) -> Json:
    """An operation with the parts that it refers to. Errors are the same everywhere and stay references."""
    answers = operation["responses"].items()
    return {
        **operation,
        "parameters": parameters_of(document, operation),
        "responses": {status: target(document, answer) for status, answer in answers if status < "400"},
    }


def _item(path: str, method: str, operation: Json) -> Json:
    request = _request(path, method, operation)
    answers = [_answer(request, int(status), answer) for status, answer in operation["responses"].items()]
    return {
        "name": operation["summary"],
        "request": {**request, "description": operation["description"]},
        "response": [answer for answer in answers if answer],
    }


def _request(path: str, method: str, operation: Json) -> Json:
    made: Json = {"method": method.upper(), "header": _headers(operation), "url": _url(path, operation)}
    media = body_of(operation)
    if media is not None:
        made["body"] = {"mode": "raw", "raw": _pretty(media.get("example")), "options": _LANGUAGE}
    if not operation["security"]:
        made["auth"] = {"type": "noauth"}
    return made


def _headers(operation: Json) -> list[Json]:
    found = [{"key": "Accept", "value": "application/json"}]
    if body_of(operation) is not None:
        found.append({"key": "Content-Type", "value": "application/json"})
    return found + [_setting(parameter) for parameter in _parameters(operation, "header")]


def _url(path: str, operation: Json) -> Json:
    said = re.sub(r"\{(\w+)\}", r":\1", path)
    return {
        "raw": "{{base_url}}" + said,
        "host": ["{{base_url}}"],
        "path": said.strip("/").split("/"),
        "query": [_setting(parameter) for parameter in _parameters(operation, "query")],
        "variable": [
            {"key": parameter["name"], "value": str(parameter["example"]), "description": parameter["description"]}
            for parameter in _parameters(operation, "path")
        ],
    }


def _parameters(operation: Json, place: str) -> list[Json]:
    return [parameter for parameter in operation.get("parameters", []) if parameter["in"] == place]


def _setting(parameter: Json) -> Json:
    """Optional parameters are included, but disabled."""
    value = parameter.get("example", parameter["schema"].get("default", ""))
    return {
        "key": parameter["name"],
        "value": str(value),
        "description": parameter["description"],
        "disabled": not parameter.get("required", False),
    }


def _answer(request: Json, status: int, answer: Json) -> Json | None:
    """Errors are the same everywhere, so they are left out."""
    content = answer.get("content", {})
    media = next((name for name in content if name == "application/json" or name.endswith("+json")), "")
    body = content.get(media, {}).get("example")
    if body is None:
        return None
    return {
        "name": f"{status} {answer['description']}",
        "originalRequest": request,
        "code": status,
        "_postman_previewlanguage": "json",
        "header": [{"key": "Content-Type", "value": media}],
        "body": body if isinstance(body, str) else _pretty(body),
    }


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
