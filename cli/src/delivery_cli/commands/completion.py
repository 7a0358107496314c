"""`delivery completion`: for the shell."""

from enum import StrEnum
from typing import Annotated

import typer

from delivery_cli.command import command
from delivery_cli.main import COMPLETE
from delivery_cli.run import Run


class Shell(StrEnum):
    """The shells there is completion for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(
    "completion",
    "delivery completion bash >> ~/.bash_completion",
    "delivery completion zsh > ~/.zfunc/_delivery",
    "delivery completion fish > ~/.config/fish/completions/delivery.fish",
)
def completion(run: Run, shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print completion for bash, zsh or fish"""
    from typer._completion_shared import get_completion_script

    run.out.line(get_completion_script(prog_name="delivery", complete_var=COMPLETE, shell=shell.value))
