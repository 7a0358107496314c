"""One run of a command: its options, its output, and what it finds out when it needs it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from delivery_cli.faults import UsageFault
from delivery_cli.output.printer import Printer

if TYPE_CHECKING:
    from ai_agents import Client

    from delivery_cli.config.profiles import Profile
    from delivery_cli.repository.checkout import Checkout

Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What every command takes. Empty: not given."""

    profile: str = ""
    organization: str = ""
    fields: str = ""
    jq: str = ""
    project: str = ""


class Run:
    """What a command works with."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.out = Printer(options.fields, options.jq)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "client" in self.__dict__:
            self.client.close()

    @cached_property
    def profile(self) -> "Profile":
        """The profile in use."""
        from delivery_cli.config import profiles

        return profiles.load(self.options.profile)

    @cached_property
    def client(self) -> "Client":
        """The SDK's client with the caller's credentials."""
        from delivery_cli.session import connect

        return connect(self.profile)

    @cached_property
    def checkout(self) -> "Checkout":
        """The git repository around the current folder; raises `UsageFault` outside of one."""
        from delivery_cli.repository.checkout import find

        return find()

    @cached_property
    def organization(self) -> Json:
        """The organization: named, of the profile, or the only one."""
        from delivery_cli.finding import organization

        named = self.options.organization or os.environ.get("DELIVERY_ORG", "") or self.profile.organization
        return organization(self.client, named)

    @cached_property
    def project(self) -> Json:
        """The project: named, or that of the checkout."""
        from delivery_cli.finding import project

        return project(self)

    @property
    def named_project(self) -> str:
        """What the caller says is the project; empty: whatever the checkout is."""
        return self.options.project or os.environ.get("DELIVERY_PROJECT", "")

    def deployment(self, given: str | None, environment: str | None = None, states: tuple[str, ...] = ()) -> Json:
        """The deployment with that id, or the newest of the project (in an environment, in one of some states)."""
        from delivery_cli.finding import deployment

        return deployment(self, given, environment, states)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something that cannot be taken back; without a terminal `--yes` must say it.

        Raises:
            UsageFault: it is not wanted, or nobody can be asked.
        """
        if yes:
            return
        if not self.out.can_ask:
            raise UsageFault(f"{question} Nobody can be asked here", "say --yes if you mean it")
        if not self.out.ask(question):
            raise UsageFault("left as it is")


def plain(value: Any) -> Any:
    """A model of the SDK as JSON's types: names as in the API, times as text."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, warnings=False)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
