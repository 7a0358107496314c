"""Git's credential helper: `python -I -S git_credential_helper.py get`; serves the worker's token for one host.

DELIVERY_GIT_CREDENTIAL is the path of an open memory file of the worker, closed after the fetch; the token is in no
command line, environment or named file. Stdlib only: git starts it.
"""

import json
import os
import sys


def main() -> None:
    """Entry point. Ignores requests to store or erase a credential."""
    if sys.argv[1:] != ["get"]:
        return
    asked = dict(line.rstrip("\n").partition("=")[::2] for line in sys.stdin if "=" in line)
    with open(os.environ["DELIVERY_GIT_CREDENTIAL"], encoding="utf-8") as file:  # noqa: PTH123 - pathlib loads slowly
        known = json.load(file)
    if (asked.get("protocol"), asked.get("host")) == (known["protocol"], known["host"]):
        sys.stdout.write(f"username={known['username']}\npassword={known['password']}\n")


if __name__ == "__main__":
    main()
