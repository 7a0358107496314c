"""`python run_bandit.py PACKAGES FILES`: bandit over the files listed in FILES (paths with NUL between), below `.`.

Bandit's library and not its command: that would obey `.bandit` and `pyproject.toml` of the tree. `# nosec` counts.
Prints one JSON object; `complete` is its last field.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

# The texts of these quote the value that they found.
QUOTING = {"B105", "B106", "B107"}


def main(packages: str, listed: str) -> int:
    """0; whatever goes wrong for one file is said in `skipped`."""
    sys.path.insert(0, packages)
    logging.disable(logging.CRITICAL)
    from bandit import __version__
    from bandit.core import config, manager

    sys.setrecursionlimit(3000)
    paths = Path(listed).read_text(encoding="utf-8").split("\0")
    run = manager.BanditManager(config.BanditConfig(), "file", quiet=True)
    run.files_list = [f"./{path}" for path in paths]
    run.run_tests()
    totals = run.metrics.data["_totals"]
    json.dump(
        {
            "version": __version__,
            "results": [_told(issue) for issue in run.get_issue_list()],
            "suppressed": totals["nosec"] + totals["skipped_tests"],
            "skipped": [[_path(name), reason] for name, reason in run.get_skipped()],
            "complete": True,
        },
        sys.stdout,
    )
    return 0


def _told(issue: Any) -> dict[str, Any]:
    text = issue.text.partition(":")[0] if issue.test_id in QUOTING else issue.text
    cwe = issue.cwe.id if issue.cwe and issue.cwe.id else None
    return {
        "rule": issue.test_id,
        "name": issue.test,
        "path": _path(issue.fname),
        "line": issue.lineno,
        "text": text,
        "severity": issue.severity,
        "confidence": issue.confidence,
        "cwe": cwe,
    }


def _path(name: str) -> str:
    return name.removeprefix("./")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
