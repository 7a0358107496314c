"""What govulncheck says (`-format=json`): JSON objects one after another, of which each is a message."""

import json
import os
from collections.abc import Iterator
from typing import Any

from domain.findings import Ecosystem, FindingKind, Package, Severity
from drivers.scanners.base import Report
from drivers.scanners.reading import Findings, Found, Unreadable, member, number, objects, report, text

_MODULE_FILE = "go.mod"


def read_govulncheck(output: str, tree: str, seen_at: str) -> Report:
    """One finding for each weakness; those whose code the service calls say where.

    Go's advisories have no scores: the severity is not known.
    """

    def read() -> Report:
        findings = Findings("govulncheck", tree, (seen_at,))
        advisories: dict[str, dict[str, Any]] = {}
        traces: dict[str, dict[str, Any]] = {}
        version, as_of, begun = "", None, False
        for message in _messages(output):
            if isinstance(config := message.get("config"), dict):
                begun = True
                version, as_of = text(config.get("scanner_version"), 64), text(config.get("db_last_modified"), 64)
            if isinstance(osv := message.get("osv"), dict):
                advisories[text(osv.get("id"), 128)] = osv
            if isinstance(finding := message.get("finding"), dict):
                name = text(finding.get("osv"), 128)
                if name not in traces or _depth(finding) > _depth(traces[name]):
                    traces[name] = finding
        if not begun:
            raise Unreadable("wrote a result without its configuration")
        for name, finding in traces.items():
            if found := _found(name, advisories.get(name, {}), finding):
                findings.add(found)
        return findings.report(version).model_copy(update={"advisories_as_of": as_of or None})

    return report(read)


def _messages(output: str) -> Iterator[dict[str, Any]]:
    descriptor = os.open(output, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        words = file.read().decode("utf-8", errors="replace")
    decoder, at = json.JSONDecoder(), 0
    while words[at : at + 1].isspace():
        at += 1
    while at < len(words):
        try:
            message, at = decoder.raw_decode(words, at)
        except (ValueError, RecursionError):
            raise Unreadable("wrote a result that is no JSON, or only half of it") from None
        if not isinstance(message, dict):
            raise Unreadable("wrote messages that are no objects")
        yield message
        while words[at : at + 1].isspace():
            at += 1


def _depth(finding: dict[str, Any]) -> int:
    """How much it knows: 1 the module is required, 2 the package is imported, 3 the function is called."""
    first = _first(finding)
    return 1 + ("package" in first) + ("function" in first)


def _first(finding: dict[str, Any]) -> dict[str, Any]:
    trace = finding.get("trace")
    return trace[0] if isinstance(trace, list) and trace and isinstance(trace[0], dict) else {}


def _found(name: str, advisory: dict[str, Any], finding: dict[str, Any]) -> Found | None:
    first = _first(finding)
    module, version = text(first.get("module"), 512), text(first.get("version"), 256).removeprefix("v")
    if not name or not module:
        return None
    called = _depth(finding) == 3  # noqa: PLR2004 - see there
    how = "its code is called" if called else "its code is not called, as far as can be seen"
    aliases = advisory.get("aliases")
    references = [each.get("url") for each in objects(advisory.get("references") or [], "references")]
    fixed = text(finding.get("fixed_version"), 256).removeprefix("v")
    path, line = _place(finding) if called else ("", None)
    return Found(
        kind=FindingKind.DEPENDENCY,
        rule=name,
        severity=Severity.UNKNOWN,
        title=f"{text(advisory.get('summary'), 400) or name} ({how})",
        path=path or _MODULE_FILE,
        line=line,
        description=text(advisory.get("details"), 4096),
        links=tuple(references),
        package=Package(ecosystem=Ecosystem.GO, name=module, version=version or "unknown", path=_MODULE_FILE),
        aliases=tuple(text(each, 128) for each in aliases[:50]) if isinstance(aliases, list) else (),
        fixed=(fixed,) if fixed else (),
    )


def _place(finding: dict[str, Any]) -> tuple[str, int | None]:
    """Where the service's own code calls it: the first step, from the weakness on, of the module without a version."""
    trace = finding.get("trace")
    for step in trace if isinstance(trace, list) else []:
        name = text(member(step, "position", "filename"), 1024)
        if name and member(step, "version") is None:
            return name, number(member(step, "position", "line"))
    return "", None
