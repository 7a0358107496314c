"""A runner that answers nonsense, of one kind: the conformance suite must find every scenario red with it."""

import json
import sys
from typing import Any

ERROR = {"class": "AIAgentsError", "classes": ["AIAgentsError"], "message": "no"}
CONNECTION = {"class": "APIConnectionError", "classes": ["APIConnectionError", "AIAgentsError"], "message": "no"}


def answer(kind: str, command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "hello":
        return {"ok": True, "language": "nonsense", "version": "0"}
    if command["do"] == "client" and kind != "fails":
        return {"ok": True}
    return {
        "null": {"ok": True, "value": None},
        "empty": {"ok": True, "value": {}, "values": [], "answers": [], "operation": "o", "page": "p", "progress": []},
        # What it was asked is what it says.
        "echo": {"ok": True, **command, "value": command.get("arguments", command), "values": [command], "answers": []},
        "fails": {"ok": False, "error": ERROR},
        "away": {"ok": False, "error": CONNECTION},
        "unsupported": {"ok": False, "error": {"class": "Unsupported", "message": "cannot"}},
    }[kind]


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "end":
            break
        sys.stdout.write(json.dumps(answer(sys.argv[1], asked)) + "\n")
        sys.stdout.flush()
