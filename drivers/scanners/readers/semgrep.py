"""What semgrep says (`--json --disable-nosem`)."""

import re
from typing import Any, Final

from domain.findings import FindingKind, Severity
from drivers.scanners.base import Report
from drivers.scanners.reading import (
    Findings,
    Found,
    SourceLines,
    Unreadable,
    by_words,
    load,
    member,
    number,
    objects,
    report,
    text,
)

_LEVELS: Final = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "error": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "warning": Severity.MEDIUM,
    "low": Severity.LOW,
    "info": Severity.LOW,
}
_COMMENT: Final = re.compile(r"\bnosem(?:grep)?\b(?:\s*:\s*(?P<rules>[\w.,\- ]+))?")
_NAMED = 5


def read_semgrep(output: str, tree: str, seen_at: str) -> Report:
    """Comments that suppress (`nosemgrep`, in the line or alone in the one before) count, and are counted."""

    def read() -> Report:
        told = load(output)
        if not isinstance(told, dict):
            raise Unreadable("wrote a result without results")
        findings, lines, suppressed = Findings("semgrep", tree, (seen_at,)), SourceLines(tree), 0
        for each in objects(told.get("results"), "results"):
            path, line = text(each.get("path"), 1024), number(member(each, "start", "line"))
            rule = text(each.get("check_id"), 512).rpartition(".")[2]
            if _is_suppressed(lines, findings.inside(path), line, rule):
                suppressed += 1
                continue
            findings.add(_found(each, rule, path, line))
        notices = [f"semgrep: {suppressed} findings are suppressed in the sources by `nosemgrep`"] * bool(suppressed)
        unread, failed = _errors(told.get("errors"))
        if unread:
            notices.append(f"semgrep: {len(unread)} files were not understood: {', '.join(unread[:_NAMED])}")
        fault = f"it failed: {failed[0]}" if failed else None
        return findings.report(text(told.get("version"), 64), notices=tuple(notices), fault=fault)

    return report(read)


def _found(each: dict[str, Any], rule: str, path: str, line: int | None) -> Found:
    metadata = member(each, "extra", "metadata")
    category = text(member(metadata, "category"), 64).lower()
    technology = member(metadata, "technology")
    secret = "secret" in rule.lower() or (isinstance(technology, list) and "secrets" in technology[:20])
    references = member(metadata, "references")
    return Found(
        kind=FindingKind.SECRET if secret or category == "secrets" else FindingKind.CODE,
        rule=rule,
        severity=by_words(_LEVELS, member(each, "extra", "severity"), Severity.UNKNOWN),
        title=f"{rule} in the sources" if secret else text(member(each, "extra", "message"), 512),
        path=path,
        line=line,
        links=tuple(references[:20]) if isinstance(references, list) else (),
    )


def _is_suppressed(lines: SourceLines, path: str | None, line: int | None, rule: str) -> bool:
    if path is None or line is None:
        return False
    before = lines.text(path, line - 1).strip() if line > 1 else ""
    for comment in (lines.text(path, line), before if before.startswith(("#", "//", "/*", "<!--")) else ""):
        for match in _COMMENT.finditer(comment[:2000]):
            named = [each.strip().rpartition(".")[2] for each in (match["rules"] or "").split(",") if each.strip()]
            if not named or rule in named:
                return True
    return False


def _errors(given: Any) -> tuple[list[str], list[str]]:
    """Files that it did not understand, and what went wrong besides, by its type alone: its words quote sources."""
    unread: list[str] = []
    failed: list[str] = []
    for each in objects(given or [], "errors"):
        if each.get("level") == "error" and not each.get("path"):
            kind = each.get("type")
            failed.append(text(kind[0] if isinstance(kind, list) and kind else kind, 64) or "an error of its own")
        elif path := text(each.get("path"), 200):
            unread.append(path.removeprefix("./"))
    return list(dict.fromkeys(unread)), failed
