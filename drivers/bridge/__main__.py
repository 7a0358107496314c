"""`python -m drivers.bridge`: make the program now, and say where it is; without a compiler, say what that means."""

import sys

from domain.errors import TerminalError
from drivers.bridge.program import program


def main() -> None:
    """Entry point. Trusted code needs no bridge, so a machine without a compiler is none to give up."""
    try:
        sys.stdout.write(f"{program()}\n")
    except TerminalError as error:
        sys.stderr.write(f"no bridge was made: {error}\n")
        sys.exit("--must" in sys.argv[1:])


if __name__ == "__main__":
    main()
