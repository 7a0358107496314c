"""`python -m delivery_cli.reference`: the reference of all commands as a page, from what their `--help` says."""

import os
from collections.abc import Iterator
from typing import Any, Final

from delivery_cli.catalog import COMMANDS
from delivery_cli.main import overview

WIDTH: Final = 100
HEAD: Final = """\
# The command `delivery`

Written by `python -m delivery_cli.reference` from the code; a test keeps it true. How to install it:
[its README](../../cli/README.md).
From nothing to a canary: [tutorial](../tutorial.md). Single tasks: [how to](../howto/README.md).
"""


def page() -> str:
    """The whole page in Markdown."""
    from delivery_cli.tree import reference

    parser = reference()
    parts = [HEAD, "```\n" + overview() + "\n```\n"]
    for name in COMMANDS:
        parts += _about(parser.commands[name], f"delivery {name}", 2)
    return "\n".join(parts)


def _about(command: Any, path: str, level: int) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    yield f"{'#' * level} {path}\n"
    if inner is None:
        with command.context_class(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH) as context:
            text = command.get_help(context)
        yield f"```\n{_tidy(text)}\n```\n"
        return
    yield f"{command.help}.\n"
    for name, one in inner.items():
        yield from _about(one, f"{path} {name}", level + 1)


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


if __name__ == "__main__":
    os.environ["COLUMNS"] = str(WIDTH)
    print(page(), end="")
