"""SARIF that a build wrote (semgrep, CodeQL, gosec, ...): a stranger's file, of whatever tool and size."""

import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic_core import from_json

from domain.findings import FindingKind, Severity
from drivers.scanners.base import MAX_FAULT, SARIF, Report
from drivers.scanners.reading import Findings, Found, Unreadable, by_words, member, number, objects, report, text
from drivers.scanners.tree import open_file

_MAX_URI: Final = 4096
_MAX_SCORE: Final = 10  # of CVSS
MAX_BYTES: Final = 16 * 1024 * 1024
_LEVELS: Final = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW, "none": Severity.LOW}
_SCORES: Final = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.0, Severity.LOW))
# What says that a rule was looked at and all is well.
_NO_FINDING: Final = frozenset({"pass", "notApplicable", "informational"})
_SECRETS = ("secret", "gitleaks", "trufflehog", "credential")
_SUPPRESSED = "suppressed"


def read_sarif(tree: str, seen_at: str, path: str) -> Report:
    """The results of a file below the tree; its other parts are not looked at."""

    def read() -> Report:
        document = _load(tree, path)
        if not isinstance(document, dict) or member(document, "version") != "2.1.0":
            raise Unreadable("is no SARIF of version 2.1.0")
        suppressed = outside = more = 0
        found: list[Report] = []
        faults: list[str] = []
        for run in objects(document.get("runs"), "runs"):
            if words := _unsuccessful(run):
                faults.append(words)
            rules = Rules(run)
            findings = Findings(SARIF, tree, (seen_at,))
            for result in objects(run.get("results") or [], "results"):
                said = rules.finding(result)
                if said == _SUPPRESSED:
                    suppressed += 1
                elif isinstance(said, Found):
                    findings.add(said)
            outside, more = outside + findings.outside, more + findings.more
            found.append(findings.report())
        if not found:
            raise Unreadable("tells of no run: no tool says that it looked at anything")
        notices = [f"{path}: {suppressed} results are suppressed in it"] * bool(suppressed)
        return Report(
            findings=tuple(each for part in found for each in part.findings),
            notices=(*notices, *(words for part in found for words in part.notices)),
            fault=f"it {'; it '.join(dict.fromkeys(faults))}"[:MAX_FAULT] if faults else None,
        )

    made = report(read)
    return made.model_copy(update={"fault": f"{path}: {made.fault}"}) if made.fault else made


def _unsuccessful(run: dict[str, Any]) -> str:
    """Why a run says nothing of what it did not find; empty: it does. As the standard has it."""
    tool = text(member(run, "tool", "driver", "name"), 56) or "a tool"
    if any(each.get("executionSuccessful") is False for each in _dicts(run.get("invocations"))):
        return f"says that {tool} did not do its work (executionSuccessful is false)"
    if run.get("results") is None:
        return f"has no results of {tool}, not even an empty list: it did not look, or keeps them in other files"
    return ""


def _load(tree: str, path: str) -> Any:
    try:
        descriptor = open_file(tree, path)
    except FileNotFoundError:
        raise Unreadable("is not there: no step of the build wrote it") from None
    except OSError:
        raise Unreadable("is no regular file below the service's folder, or a link") from None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES >> 20} MiB")
    try:
        return from_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise Unreadable("is no JSON, or only half of it") from None


class Rules:
    """What a run says about its tool, its rules and its places, by which its results are understood."""

    def __init__(self, run: dict[str, Any]) -> None:
        driver = member(run, "tool", "driver")
        self.tool = text(member(driver, "name"), 56) or "sarif"
        rules = list(_dicts(member(driver, "rules")))
        self._list = rules
        self._by_id = {each["id"]: each for each in rules if isinstance(each.get("id"), str)}
        self._artifacts = member(run, "artifacts")
        self._bases = member(run, "originalUriBaseIds")

    def finding(self, result: dict[str, Any]) -> Found | str | None:
        """None: it says that all is well; `_SUPPRESSED`: somebody took it back in the file."""
        if text(result.get("kind"), 64) in _NO_FINDING or result.get("baselineState") == "absent":
            return None
        if _is_suppressed(result.get("suppressions")):
            return _SUPPRESSED
        rule = self._rule(result)
        name = text(result.get("ruleId"), 128) or text(member(rule, "id"), 128) or "unnamed"
        kind = FindingKind.SECRET if self._is_about_secrets(name, rule) else FindingKind.CODE
        short = text(member(rule, "shortDescription", "text"), 512)
        # What is said of a secret may be the secret.
        title = short or name if kind is FindingKind.SECRET else _message(result, rule) or short or name
        path, line = self._place(result)
        return Found(
            kind=kind,
            rule=name,
            severity=_severity(result, rule),
            title=f"{self.tool}: {title}",
            path=path,
            line=line,
            description=text(member(rule, "fullDescription", "text"), 4096),
            links=(member(rule, "helpUri"),),
            mark="" if line else _fingerprint(result),
        )

    def _rule(self, result: dict[str, Any]) -> dict[str, Any] | None:
        index = result.get("ruleIndex", member(result, "rule", "index"))
        named = result.get("ruleId") or member(result, "rule", "id")
        if isinstance(named, str) and named in self._by_id:
            return self._by_id[named]
        return _at(self._list, index)

    def _is_about_secrets(self, name: str, rule: dict[str, Any] | None) -> bool:
        tags = member(rule, "properties", "tags")
        words = [name, self.tool, *(tags[:50] if isinstance(tags, list) else [])]
        return any(isinstance(each, str) and any(word in each.lower() for word in _SECRETS) for each in words)

    def _place(self, result: dict[str, Any]) -> tuple[str, int | None]:
        for place in _dicts(result.get("locations")):
            physical = place.get("physicalLocation")
            artifact = member(physical, "artifactLocation")
            uri = member(artifact, "uri")
            if uri is None:
                at = _at(self._artifacts, member(artifact, "index"))
                artifact = member(at, "location")
                uri = member(artifact, "uri")
            if isinstance(uri, str):
                return self._path(uri, member(artifact, "uriBaseId")), number(member(physical, "region", "startLine"))
        return "", None

    def _path(self, uri: str, base: Any) -> str:
        if len(uri) > _MAX_URI:
            return "../too long"
        if ":" not in uri.partition("/")[0] and isinstance(base, str):
            above = member(self._bases, base, "uri")
            if isinstance(above, str) and above.startswith("file:") and len(above) <= _MAX_URI:
                uri = above.rstrip("/") + "/" + uri
        try:
            parts = urlsplit(uri)
        except ValueError:
            return "../no address"
        if parts.scheme not in ("", "file"):
            return "../elsewhere"
        return unquote(parts.path if parts.scheme or parts.query == "" else uri)


def _severity(result: dict[str, Any], rule: dict[str, Any] | None) -> Severity:
    said = member(result, "properties", "security-severity") or member(rule, "properties", "security-severity")
    try:
        score = float(said) if isinstance(said, str | int | float) else None
    except (ValueError, OverflowError):
        score = None
    if score is not None and 0 <= score <= _MAX_SCORE:
        return next(level for least, level in _SCORES if score >= least)
    level = result.get("level") or member(rule, "defaultConfiguration", "level") or "warning"
    return by_words(_LEVELS, level, Severity.UNKNOWN)


def _message(result: dict[str, Any], rule: dict[str, Any] | None) -> str:
    said = text(member(result, "message", "text"), 512)
    if said:
        return said
    named = member(result, "message", "id")
    words = text(member(rule, "messageStrings", named, "text"), 512) if isinstance(named, str) else ""
    given = member(result, "message", "arguments")
    for place, argument in enumerate(given[:20] if isinstance(given, list) else []):
        words = words.replace(f"{{{place}}}", text(argument, 200))[:512]
    return words


def _fingerprint(result: dict[str, Any]) -> str:
    """What the tool says makes it the same elsewhere, or its words."""
    for name in ("fingerprints", "partialFingerprints"):
        given = result.get(name)
        if isinstance(given, dict) and given:
            key = min(key for key in given if isinstance(key, str))
            return f"{text(key, 128)}={text(given[key], 512)}"
    return text(member(result, "message", "text"), 512)


def _is_suppressed(given: Any) -> bool:
    """As the standard has it: some, and none of them under review or rejected."""
    if not isinstance(given, list) or not given:
        return False
    return all(isinstance(each, dict) and each.get("status", "accepted") == "accepted" for each in given)


def _at(given: Any, index: Any) -> dict[str, Any] | None:
    if isinstance(given, list) and isinstance(index, int) and 0 <= index < len(given):
        found = given[index]
        return found if isinstance(found, dict) else None
    return None


def _dicts(given: Any) -> Iterator[dict[str, Any]]:
    return (each for each in (given if isinstance(given, list) else ()) if isinstance(each, dict))
