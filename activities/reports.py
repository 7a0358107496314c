"""Reports of a test command, for a process with limits. A missing one is None: who fails early writes none."""

from pathlib import Path

from domain.junit_reports import MAX_REPORT, TestSummary, parse_cobertura, parse_junit


def read_junit(path: str) -> TestSummary | None:
    """Raises `TerminalError` TEST_REPORT_INVALID."""
    text = _text(Path(path))
    return parse_junit(text) if text else None


def read_cobertura(path: str) -> float | None:
    """Raises `TerminalError` TEST_REPORT_INVALID."""
    text = _text(Path(path))
    return parse_cobertura(text) if text else None


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_REPORT + 1).decode("utf-8", errors="replace")
