"""What tools really wrote (the files beside this one), and rules for semgrep."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent

SARIF = json.dumps(
    {
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "conformance",
                        "rules": [{"id": "no-eval", "shortDescription": {"text": "eval runs whatever it is given"}}],
                    }
                },
                "results": [
                    {
                        "ruleId": "no-eval",
                        "level": "error",
                        "message": {"text": "eval of what a stranger says"},
                        "locations": [
                            {
                                "physicalLocation": {
                                    "artifactLocation": {"uri": "src/app.py", "uriBaseId": "%SRCROOT%"},
                                    "region": {"startLine": 1},
                                }
                            }
                        ],
                    }
                ],
            }
        ],
    }
)

_RULES = """
rules:
  - id: no-eval
    languages: [python]
    severity: ERROR
    message: eval of $X runs whatever it is given
    pattern: eval($X)
    metadata:
      references: ["https://owasp.org/Top10/A03_2021-Injection"]
"""


def semgrep_rules(folder: Path) -> None:
    """A folder as DELIVERY_SCANNER_DATA/semgrep is."""
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(_RULES)
