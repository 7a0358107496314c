"""The `delivery` command: ship a commit and watch it, from a terminal, a pipe or an agent."""

from typing import Final

__version__: Final = "0.1.0"
