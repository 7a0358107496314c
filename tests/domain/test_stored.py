"""While a newer version of the engine replaces an older one, each reads what the other stored."""

import json
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import contracts.analysis
import contracts.builds
import contracts.operations
import contracts.rollouts
import contracts.webhooks
from contracts.payload import Payload
from domain.approvals import ApprovalPolicy
from domain.canary.state import JudgeState
from domain.delivery_spec import DeliverySpec, ServiceSpec
from domain.delivery_spec_loader import parse_delivery
from domain.environment_settings import EnvironmentSettings
from domain.errors import TerminalError
from drivers.targets.process.folder import InstanceFolder, InstanceRecord

MODULES = (contracts.analysis, contracts.builds, contracts.operations, contracts.rollouts, contracts.webhooks)


def models(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Every model that a value of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return
        seen.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation, seen)
    for inner in typing.get_args(annotation):
        yield from models(inner, seen)


def payloads() -> list[type[Payload]]:
    found = {one for module in MODULES for one in vars(module).values() if isinstance(one, type)}
    return sorted((one for one in found if issubclass(one, Payload)), key=lambda one: one.__name__)


def test_no_payload_holds_a_model_that_refuses_keys_of_a_newer_version():
    seen: set[type[BaseModel]] = set()
    for stored in (*payloads(), JudgeState, ServiceSpec):
        strict = [one.__name__ for one in models(stored, seen) if one.model_config.get("extra") == "forbid"]
        assert strict == [], f"{stored.__name__} holds {strict}: older workers could not read what newer ones send"
    assert {DeliverySpec, ApprovalPolicy} <= seen


def test_a_spec_of_a_newer_version_is_read_and_a_users_file_with_the_same_keys_is_refused():
    text = "{service: {command: x, newer: 1, health: {newer: 1}}, newer: {}, analysis: {newer: 1}}"
    newer = {"service": {"command": "x", "newer": 1, "health": {"newer": 1}}, "newer": {}, "analysis": {"newer": 1}}
    assert DeliverySpec.model_validate(newer) == DeliverySpec(service=ServiceSpec(command="x"))
    with pytest.raises(TerminalError) as refused:
        parse_delivery(text)
    faults = refused.value.details["faults"]
    assert sorted(fault["key"] for fault in faults) == [
        "analysis.newer",
        "newer",
        "service.health.newer",
        "service.newer",
    ]


def test_settings_of_a_newer_version_are_read():
    window = {"name": "w", "kind": "deny", "time_zone": "UTC", "start": "2026-01-01T00:00:00", "duration": 60}
    stored = {"windows": [{**window, "newer": 1}], "approval": {"required": True, "newer": 1}}
    settings = EnvironmentSettings.stored(stored)
    assert [one.name for one in settings.windows] == ["w"]
    assert settings.approval is not None


def test_an_instance_that_a_newer_version_started_is_still_known(tmp_path):
    """Else its folder would be cleared and it would be started anew, on another port."""
    folder = InstanceFolder(tmp_path / "i-0")
    record = InstanceRecord("i-0", "i", "sha256:0", 20000, isolated=False)
    folder.write(record)
    file = folder.path / "instance.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "newer": 1}))
    assert folder.record() == record
    file.write_text("[]")
    assert folder.record() is None
