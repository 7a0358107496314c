"""The commands as typer knows them: one for a call, all for completion and the reference."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.main import get_command

from delivery_cli.catalog import COMMANDS
from delivery_cli.command import of_module
from delivery_cli.exits import Exit
from delivery_cli.faults import UsageFault


class Leave(Exception):
    """The command has ended, with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def command_of(name: str) -> Callable[[Sequence[str]], None]:
    """What runs one command with its arguments; raises `Leave` if it ends with a code, and `UsageFault`."""
    parser = get_command(_app([name]))

    def call(arguments: Sequence[str]) -> None:
        try:
            ended = parser.main(args=[name, *arguments], prog_name="delivery", standalone_mode=False)
        except typer.Abort:
            raise Leave(Exit.INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 - raised again, but for what the parser has to say
            if type(error).__name__ == "NoArgsIsHelpError":  # typer does not show the class
                sys.stderr.write(f"{error}\n")
                raise Leave(Exit.USAGE) from None
            raise _usage(error) or error from None
        if isinstance(ended, int) and ended:
            raise Leave(ended)

    return call


def _usage(error: Exception) -> UsageFault | None:
    """What the parser does not understand; None if it is another error."""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "delivery"
    return UsageFault(message().rstrip("."), f"`{path} --help` shows what it takes, with examples")


def complete() -> int:
    """Answer the shell."""
    try:
        parser = get_command(whole())
        parser.main(prog_name="delivery", complete_var="_DELIVERY_COMPLETE")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def whole() -> typer.Typer:
    """All commands."""
    return _app(list(COMMANDS))


def reference() -> Any:
    """The parser of all commands, for what reads it."""
    return get_command(whole())


def _app(names: Sequence[str]) -> typer.Typer:
    app = typer.Typer(name="delivery", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback()
    def root() -> None:
        """Ship a commit and watch it."""

    for name in names:
        module = importlib.import_module(f"delivery_cli.commands.{COMMANDS[name].module}")
        of_module(module, name).add_to(app, name)
    return app
