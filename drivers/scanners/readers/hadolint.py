"""What hadolint says (`--format json`): a list of objects."""

from typing import Final

from domain.findings import FindingKind, Severity
from drivers.scanners.base import Report
from drivers.scanners.reading import Findings, Found, SourceLines, by_words, load, number, objects, report, text

# Its words are about good practice: nothing of it lets anybody in by itself.
_LEVELS: Final = {"error": Severity.MEDIUM, "warning": Severity.LOW, "info": Severity.LOW, "style": Severity.LOW}
_DOCS = "https://github.com/hadolint/hadolint/wiki/{}"
_SHELL_DOCS = "https://www.shellcheck.net/wiki/{}"
_UNPARSED = "DL1000"
_PRAGMA = "hadolint ignore"
_GLOBAL = "hadolint global ignore"
MOST_LINES = 100_000


def read_hadolint(output: str, tree: str, seen_at: str, version: str, files: list[str]) -> Report:
    """`files`: those that it was given, for the suppressions in them."""

    def read() -> Report:
        findings = Findings("hadolint", tree, (seen_at,))
        unparsed: list[str] = []
        for each in objects(load(output), "results"):
            rule, path = text(each.get("code"), 128), text(each.get("file"), 1024)
            if rule == _UNPARSED:
                unparsed.append(path.removeprefix("./"))
            findings.add(
                Found(
                    kind=FindingKind.CONFIGURATION,
                    rule=rule,
                    severity=by_words(_LEVELS, each.get("level"), Severity.LOW),
                    title=text(each.get("message"), 512),
                    path=path,
                    line=number(each.get("line")),
                    links=((_SHELL_DOCS if rule.startswith("SC") else _DOCS).format(rule),),
                )
            )
        notices = [f"hadolint: {path} is no Dockerfile that it understands" for path in unparsed[:5]]
        if count := _pragmas(tree, files):
            notices.append(f"hadolint: {count} comments in Dockerfiles suppress findings (`# {_PRAGMA}=...`)")
        return findings.report(version, notices=tuple(notices))

    return report(read)


def _pragmas(tree: str, files: list[str]) -> int:
    lines = SourceLines(tree)
    return sum(
        1
        for path in files
        for line in lines.all(path)[:MOST_LINES]
        if line.lstrip().startswith("#") and (_PRAGMA in line or _GLOBAL in line)
    )
