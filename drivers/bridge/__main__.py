"""`python -m drivers.bridge`: compile the bridge and print its path; without a compiler, explain the consequence."""

import sys

from domain.errors import TerminalError
from drivers.bridge.program import program


def main() -> None:
    """Entry point. Trusted code needs no bridge, so a missing compiler is not an error here."""
    try:
        sys.stdout.write(f"{program()}\n")
    except TerminalError as error:
        sys.stderr.write(f"no bridge was made: {error}\n")
        sys.exit("--must" in sys.argv[1:])


if __name__ == "__main__":
    main()
