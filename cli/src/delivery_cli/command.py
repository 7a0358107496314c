"""How a command is declared: a function, examples for its help, and the options that every command has."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Annotated, Any, Protocol

import typer

from delivery_cli.run import Options, Run

Profiles = Annotated[str, typer.Option("--profile", metavar="NAME", help="The profile to use.", show_default=False)]
Org = Annotated[str, typer.Option("--org", metavar="NAME", help="The organization: slug or id.", show_default=False)]
Fields = Annotated[
    str,
    typer.Option("--json", metavar="[FIELDS]", help="As JSON: all, or these fields, by commas.", show_default=False),
]
Filter = Annotated[str, typer.Option("--jq", metavar="FILTER", help="Filter the JSON with jq.", show_default=False)]
Project = Annotated[
    str,
    typer.Option(
        "--project",
        "-p",
        metavar="NAME",
        help="The project: slug or id. Else that of the checkout.",
        show_default=False,
    ),
]
_SHARED = {"profile": Profiles, "org": Org, "json": Fields, "jq": Filter}


class Part(Protocol):
    """Something that a parser is made of."""

    @property
    def name(self) -> str: ...

    def add_to(self, app: typer.Typer, name: str) -> None: ...


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    function: Callable[..., Any]
    examples: Sequence[str]
    project: bool

    def add_to(self, app: typer.Typer, name: str) -> None:
        """Register it."""
        summary = inspect.getdoc(self.function) or ""
        shown = "\n".join(f"  {line}" for line in self.examples)
        app.command(name, help=summary, epilog=f"\b\nExamples:\n{shown}")(self._entry())

    def _entry(self) -> Callable[..., Any]:
        def entry(**given: Any) -> Any:
            options = Options(
                profile=given.pop("profile"),
                organization=given.pop("org"),
                fields=given.pop("json"),
                jq=given.pop("jq"),
                project=given.pop("project", ""),
            )
            with Run(options) as run:
                return self.function(run, **given)

        own = list(inspect.signature(self.function, eval_str=True).parameters.values())[1:]
        shared = {**({"project": Project} if self.project else {}), **_SHARED}
        more = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default="", annotation=kind)
            for key, kind in shared.items()
        ]
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + more
        entry.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # functions have it, their type does not say so
        entry.__annotations__ = {one.name: one.annotation for one in parameters}
        entry.__name__ = self.function.__name__
        return entry


@dataclass(frozen=True)
class Group:
    """Commands under one word."""

    name: str
    summary: str
    commands: list[Command] = field(default_factory=list)

    def add_to(self, app: typer.Typer, name: str) -> None:
        """Register it with all of its commands."""
        inner = typer.Typer(
            help=self.summary, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False
        )
        for one in self.commands:
            one.add_to(inner, one.name)
        app.add_typer(inner, name=name)

    def command(self, name: str, *examples: str, project: bool = False) -> Callable[[Callable[..., Any]], Command]:
        """Declare one of them."""

        def declare(function: Callable[..., Any]) -> Command:
            made = Command(name, function, examples, project)
            self.commands.append(made)
            return made

        return declare


def command(name: str, *examples: str, project: bool = False) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command; its docstring is its help, the first line its summary.

    Args:
        name: the word on the command line.
        examples: whole command lines.
        project: whether it takes `--project`.
    """
    return lambda function: Command(name, function, examples, project)


def of_module(module: ModuleType, name: str) -> Part:
    """The command or group of that name; raises LookupError."""
    for one in vars(module).values():
        if isinstance(one, Command) and one.name == name:
            return one
        if isinstance(one, Group) and one.name == name:
            return one
    raise LookupError(f"{module.__name__} declares no command {name}")
