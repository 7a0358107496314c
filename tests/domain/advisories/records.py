"""Advisories of tests, in OSV's format."""

from typing import Any

from domain.advisories.record import Advisory, Record
from domain.findings import Package

MODIFIED = "2026-11-01T00:00:00Z"


def osv(
    id_: str = "GHSA-aaaa-bbbb-cccc",
    *ranges: list[dict[str, str]],
    ecosystem="npm",
    name="left-pad",
    kind="SEMVER",
    versions=(),
    **more: Any,
) -> dict[str, Any]:
    affected = {"package": {"ecosystem": ecosystem, "name": name}}
    affected["ranges"] = [{"type": kind, "events": events} for events in ranges]
    affected["versions"] = list(versions)
    return {"id": id_, "modified": MODIFIED, "affected": [affected], **more}


def advisory(*args: Any, **more: Any) -> Advisory:
    ((_, _, read),) = Record.read(osv(*args, **more)).packages
    return read


def package(version: str, name="left-pad", ecosystem="npm", **more: Any) -> Package:
    return Package(ecosystem=ecosystem, name=name, version=version, path="package-lock.json", **more)
