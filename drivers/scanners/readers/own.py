"""What our programs in `drivers/scanners/inside` say: bandit and detect-secrets."""

from collections.abc import Sequence
from typing import Any, Final

from domain.findings import FindingKind, Severity
from drivers.scanners.base import Report
from drivers.scanners.reading import Findings, Found, Unreadable, load, member, number, objects, report, text

_NAMED = 5
_LEVELS: Final = {"HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM, "LOW": Severity.LOW}
_LOWER: Final = {Severity.HIGH: Severity.MEDIUM, Severity.MEDIUM: Severity.LOW, Severity.LOW: Severity.LOW}
_DOCS = "https://bandit.readthedocs.io/"
_CWE = "https://cwe.mitre.org/data/definitions/{}.html"
# Tests assert.
_ASSERT = "B101"
# That a module is imported, of which each dangerous use has a rule of its own (subprocess, pickle, XML).
_IMPORTS: Final = frozenset(f"B{number}" for number in range(403, 412))
# What a provider honours, or opens a door by itself. The others: a word that looks like one.
_GUESSES: Final = {
    "Secret Keyword": Severity.MEDIUM,
    "JSON Web Token": Severity.MEDIUM,
    "Basic Auth Credentials": Severity.HIGH,
}


def read_bandit(output: str, tree: str, seen_at: str) -> Report:
    """`severity` is bandit's, a step lower where its confidence is low."""

    def read() -> Report:
        told = _told(output)
        findings = Findings("bandit", tree, (seen_at,))
        for each in objects(told.get("results"), "results"):
            rule, path = text(each.get("rule"), 128), text(each.get("path"), 1024)
            if rule in _IMPORTS or (rule == _ASSERT and _is_test(path)):
                continue
            severity = _LEVELS.get(text(each.get("severity"), 16), Severity.LOW)
            low = each.get("confidence") == "LOW"
            cwe = number(each.get("cwe"))
            findings.add(
                Found(
                    kind=FindingKind.CODE,
                    rule=rule,
                    severity=_LOWER[severity] if low else severity,
                    title=text(each.get("text"), 512),
                    path=path,
                    line=number(each.get("line")),
                    links=((_CWE.format(cwe),) if cwe else ()) + (_DOCS,),
                )
            )
        broken, failed = _skipped(told.get("skipped"), "syntax error")
        return findings.report(
            text(told.get("version"), 64),
            notices=(
                *_suppressed("bandit", told, "# nosec"),
                *_unread("bandit", broken, "are no Python of this version"),
            ),
            fault=_failed(failed),
        )

    return report(read)


def read_detect_secrets(output: str, tree: str, seen_at: str) -> Report:
    """A secret is known by its hash alone."""

    def read() -> Report:
        told = _told(output)
        findings = Findings("detect-secrets", tree, (seen_at,))
        for each in objects(told.get("results"), "results"):
            rule = text(each.get("rule"), 128)
            findings.add(
                Found(
                    kind=FindingKind.SECRET,
                    rule=rule,
                    severity=_GUESSES.get(rule, Severity.CRITICAL),
                    title=f"{rule} in the sources",
                    path=text(each.get("path"), 1024),
                    line=number(each.get("line")),
                    description="Take it out, keep it as a secret of the project, and replace it where it is valid: "
                    "it stays in the history of the repository.",
                    mark=text(each.get("hash"), 64) or "unknown",
                )
            )
        large, failed = _skipped(told.get("skipped"), "larger than")
        more = number(told.get("more"))
        notices = (
            *_suppressed("detect-secrets", told, "pragma: allowlist secret"),
            *_unread("detect-secrets", large, "are too large"),
            *([f"detect-secrets: {more} more that look like secrets were left out"] if more else []),
        )
        return findings.report(text(told.get("version"), 64), notices=notices, fault=_failed(failed))

    return report(read)


def _told(output: str) -> dict[str, Any]:
    told = load(output)
    if not isinstance(told, dict) or told.get("complete") is not True:
        raise Unreadable("wrote a result that is not complete")
    return told


def _is_test(path: str) -> bool:
    *folders, name = path.split("/")
    return name.startswith(("test_", "conftest")) or name.endswith("_test.py") or bool({"test", "tests"} & {*folders})


def _skipped(told: Any, expected: str) -> tuple[list[str], list[str]]:
    """Files that it left out for the reason that is expected, and the others."""
    fine: list[str] = []
    others: list[str] = []
    for pair in told if isinstance(told, list) else ():
        if isinstance(pair, list) and len(pair) == 2:  # noqa: PLR2004 - path and reason
            path, reason = text(pair[0], 200), text(pair[1], 200)
            (fine if reason.startswith(expected) else others).append(path)
    return fine, others


def _suppressed(tool: str, told: dict[str, Any], comment: str) -> tuple[str, ...]:
    count = number(member(told, "suppressed"))
    return (f"{tool}: {count} findings are suppressed in the sources by `{comment}`",) if count else ()


def _unread(tool: str, paths: Sequence[str], why: str) -> tuple[str, ...]:
    return (f"{tool}: {len(paths)} files {why} and were not looked at: {_some(paths)}",) if paths else ()


def _failed(paths: Sequence[str]) -> str | None:
    return f"it failed at {len(paths)} files, which were not looked at: {_some(paths)}" if paths else None


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_NAMED]) + (", ..." if len(paths) > _NAMED else "")
