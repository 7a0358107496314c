"""The `webhooks` section of OpenAPI 3.1: the requests to an organization's URLs, by type of event.

A payload is the resource under its noun, in the shape GET shows it in (`domain/events.py`), so its schema is made of
the view's; tests compare both with events as they are written.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from api.openapi.samples import MOMENT, Samples, sample_id
from api.openapi.schema_names import readable
from api.openapi.traversal import Json
from domain.events import EventType
from domain.webhooks import PING

_ID: Final[Json] = {"type": "string", "format": "uuid"}
_TEXT: Final[Json] = {"type": "string"}
_NUMBER: Final[Json] = {"type": "integer", "minimum": 0}
_NOTHING: Final[Json] = {"type": "null"}


@dataclass(frozen=True)
class Payload:
    """The payload of an event.

    Attributes:
        noun: name of the resource in the payload.
        when: description of when it is sent.
        view: of the resource; the payload has `only` these of its properties, or all.
        nullable: properties that are null in some payloads, though GET always has them.
        more: properties that the view does not have.
        name: of its schema, if it is not `only` the view as events have it.
    """

    noun: str
    when: str
    view: str = ""
    only: Sequence[str] = ()
    nullable: Sequence[str] = ()
    more: Mapping[str, Json] = field(default_factory=dict)
    name: str = ""

    @property
    def stem(self) -> str:
        """What the names of its schemas begin with."""
        return self.name or readable(self.view)

    @property
    def schema(self) -> str:
        """The name of its schema."""
        return self.name or f"{self.stem}InEvent"

    @property
    def data(self) -> str:
        """The name of the object around it."""
        return f"{self.stem}EventData"


def _reference(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


_FEATURE_STATUS: Final[Json] = _reference("FeatureStatus")
_RELEASE: Final[Json] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("release_id", "deployment_id", "build_id"), _ID),
        "state": _TEXT,
        "replicas": _NUMBER,
        "build_number": _NUMBER,
        "version_tag": _TEXT,
        "git_commit_hash": _TEXT,
    },
}
_DISPLACED: Final[Json] = {
    "type": "object",
    "properties": {
        "instance_id": _TEXT,
        **dict.fromkeys(("release_id", "deployment_id"), _ID),
        **dict.fromkeys(("port_before", "port"), _NUMBER),
    },
}
_ENVIRONMENT: Final = ("id", "project_id", "name", "host", "created_at", "updated_at")

PAYLOADS: Final[Mapping[str, Payload]] = {
    EventType.FEATURE_CREATED: Payload("feature", "A feature was created.", "FeatureView"),
    EventType.FEATURE_STATUS_CHANGED: Payload(
        "feature",
        "The `implementation_status` of a feature changed.",
        "FeatureView",
        more={"previous_status": _FEATURE_STATUS, "current_status": _FEATURE_STATUS},
        name="ChangedFeature",
    ),
    EventType.TEST_COMPLETED: Payload(
        "test_result",
        "A test result was recorded, by itself or by the tests of a build, which `build_id` names then; or a build "
        "whose tests were counted, all of them as one result: then `test_case_id` is null.",
        "ResultView",
        nullable=("test_case_id", "duration_ms", "recorded_by"),
    ),
    EventType.BUILD_COMPLETED: Payload(
        "build", "A build was recorded: made here or reported, good or failed.", "BuildView"
    ),
    EventType.DEPLOYMENT_STARTED: Payload("deployment", "A deployment is under way, told once.", "DeploymentView"),
    EventType.DEPLOYMENT_COMPLETED: Payload(
        "deployment",
        "A deployment has a final status. A success that is rolled back later completes a second time.",
        "DeploymentView",
    ),
    EventType.DEPLOYMENT_APPROVAL_REQUESTED: Payload(
        "deployment", "A deployment waits for somebody's approval.", "DeploymentView"
    ),
    EventType.OPERATION_COMPLETED: Payload("operation", "An operation is finished, well or badly.", "OperationView"),
    EventType.ENVIRONMENT_DEGRADED: Payload(
        "environment",
        "Not all instances of the live release pass the health checks.",
        "EnvironmentView",
        only=_ENVIRONMENT,
        more={"current_release": _reference("LiveRelease"), "instances_wanted": _NUMBER, "instances_healthy": _NUMBER},
        name="DegradedEnvironment",
    ),
    EventType.INSTANCE_DISPLACED: Payload(
        "environment",
        "Another process listened where an instance was, which has another port now.",
        "EnvironmentView",
        only=_ENVIRONMENT,
        more={"displaced_instance": _reference("DisplacedInstance")},
        name="DisplacedEnvironment",
    ),
    EventType.VULNERABILITY_DETECTED: Payload(
        "vulnerability",
        "A scan found a vulnerability that the project did not have before, or not any more. Told once, however many "
        "builds have it; `affected_releases` names what is live and has it. A hundred of one scan are told at once, "
        "the worst first, the others by and by.",
        "VulnerabilityView",
    ),
    EventType.WEBHOOK_DISABLED: Payload(
        "webhook",
        "Another webhook of the organization was disabled.",
        "WebhookView",
        only=("id", "url", "status", "disabled_reason", "disabled_at"),
        name="DisabledWebhook",
    ),
    PING: Payload(
        "webhook",
        "Somebody asked for it (`POST .../ping`); it is sent once, and not tried again.",
        "WebhookView",
        only=("id", "url", "events"),
        name="PingedWebhook",
    ),
}

_HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "X-Signature-256": (
        "`sha256=`, hex HMAC-SHA256 of the body as it came; the key is the whole secret as text, `whsec_` included",
        "sha256=5b9f6a8a1b0a4a2f8d3c0f6f2a1e7a1c3d9b8e6f4a2c0d1e3f5a7b9c1d3e5f70",
    ),
    "webhook-id": ("the event's id (Standard Webhooks): what was seen before is a duplicate", sample_id("event_id")),
    "webhook-timestamp": ("of this attempt, in Unix time; refuse what is older than five minutes", "1729938600"),
    "webhook-signature": (
        (
            "`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`, one for each secret that counts, with spaces "
            "between; the key is what follows `whsec_`, base64-decoded"
        ),
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
}
_RESPONSES: Final[Json] = {
    "2XX": {"description": "Received; answered within 15 seconds, worked on afterwards"},
    "410": {"description": "Not wanted any more: the webhook is disabled"},
    "default": {"description": "Anything else is a failure, and the event is sent again: ten times in three days"},
}


def add_webhooks(document: Json) -> None:
    """Add the schemas of all events, and the section that refers to them."""
    schemas = document["components"]["schemas"]
    made: Json = {"LiveRelease": _RELEASE, "DisplacedInstance": _DISPLACED}
    for event, payload in PAYLOADS.items():
        made[payload.schema] = _resource(payload, schemas)
        made[payload.data] = {
            "type": "object",
            "properties": {payload.noun: _reference(payload.schema)},
            "required": [payload.noun],
        }
        made[_name(event)] = _envelope(event, payload)
    schemas.update(deepcopy(made))  # other steps modify the document in place
    document["webhooks"] = {event: {"post": deepcopy(_request(event, payload))} for event, payload in PAYLOADS.items()}


def give_webhook_examples(document: Json, samples: Samples) -> None:
    """An example of every event."""
    for event, payload in PAYLOADS.items():
        resource = document["components"]["schemas"][payload.schema]
        told = samples.of(resource, payload.noun, payload.view)
        media = document["webhooks"][event]["post"]["requestBody"]["content"]["application/json"]
        media["example"] = {
            "event": event,
            "timestamp": MOMENT,
            "event_id": sample_id("event_id"),
            "retry_count": 0,
            "data": {payload.noun: {name: told[name] for name in resource["required"]}},
        }


def _name(event: str) -> str:
    return "".join(word.title() for word in event.replace("_", ".").split(".")) + "Event"


def _envelope(event: str, payload: Payload) -> Json:
    properties: Json = {
        "event": {"type": "string", "const": event},
        "timestamp": {"type": "string", "format": "date-time", "description": "when it happened"},
        "event_id": {**_ID, "description": "the same in every attempt, redelivery and replay"},
        "retry_count": {**_NUMBER, "description": "attempts before this one"},
        "data": _reference(payload.data),
    }
    return {"type": "object", "description": payload.when, "properties": properties, "required": list(properties)}


def _resource(payload: Payload, schemas: Mapping[str, Json]) -> Json:
    view: Mapping[str, Json] = schemas[payload.view]["properties"] if payload.view else {}
    names = payload.only or tuple(view)
    properties = {name: _or_null(view[name]) if name in payload.nullable else view[name] for name in names}
    properties |= payload.more
    told = {
        "type": "array",
        "items": _TEXT,
        "description": "fields that were cut, or are null, since the payload would be larger than 64 KiB",
    }
    return {"type": "object", "properties": {**properties, "truncated": told}, "required": list(properties)}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, _NOTHING]}


def _request(event: str, payload: Payload) -> Json:
    parameters: list[Any] = [
        {"name": name, "in": "header", "required": True, "description": words, "schema": _TEXT, "example": example}
        for name, (words, example) in _HEADERS.items()
    ]
    content = {"application/json": {"schema": _reference(_name(event))}}
    return {
        "operationId": f"on_{event.replace('.', '_')}",
        "summary": f"`{event}`",
        "description": f"{payload.when} Sent to the organization's webhooks that ask for it, signed.",
        "tags": ["Webhooks"],
        "security": [],
        "parameters": parameters,
        "requestBody": {"required": True, "description": "What happened", "content": content},
        "responses": _RESPONSES,
    }
