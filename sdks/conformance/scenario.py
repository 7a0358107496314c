"""Scenarios as data: scenarios/*.yaml, each file a list of them under one theme."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import Field, ValidationError, model_validator

from sdks.conformance.behaviour import Rule, Strict
from sdks.conformance.certificates import Fault

FOLDER: Final = Path(__file__).parent / "scenarios"
FIRST: Final = "first"
_CASE: Final = re.compile(r"\$\{case\.(\w+)\}")
# What a runner is told to do, as its commands are called; the value of the key is what it is about.
COMMANDS: Final = (
    "call",
    "iterate",
    "lines",
    "raw",
    "next_page",
    "concurrently",
    "resume",
    "wait",
    "result",
    "cancel",
    "refresh",
    "webhook",
    "warnings",
    "logs",
    "repr",
)
# What the suite does itself.
OWN: Final = ("client", "requests", "forget", "api", "that", "start", "end", "pause", "arrival")


class Requests(Strict):
    """What the misbehaving server must have got.

    Attributes:
        to: method and path as in a rule; "*" is any.
        count: how many: a number, or a demand.
        each: what all of them are like.
        items: what one after another is like.
        same: names of headers that have one value in all of them.
        different: names of headers that have another value in each.
        apart: seconds that lie at least between each and the next.
    """

    to: str = "*"
    count: Any = None
    each: Any = None
    items: list[Any] | None = None
    same: Sequence[str] = ()
    different: Sequence[str] = ()
    apart: Sequence[float] = ()


class Direct(Strict):
    """A request of the suite itself to the real API: what the SDK said must be true there."""

    verb: str = "GET"
    path: str
    body: Any = None
    status: int | None = None


class Step(Strict):
    """One thing that is done, and what must come of it.

    Attributes:
        arguments, options: of a call. For `client`: the value of the key is its options.
        using: the client; `name` is that of a new one.
        eventually: it may take a while until it is so: it is done again until then.
        gives: what the answer's value must be like.
        raises: what its error must be like: `class`, `is` (a class it is a kind of), `status` and so on. Without it the
            answer must be good.
        save: names under which parts of the answer are kept: `project: id`, by the way to them.
        arrival: waits for a request to the misbehaving server, kept as `${arrival.body}`, `${arrival.headers}`.
        runner: which of the runner's processes does it.
    """

    call: str | None = None
    iterate: str | None = None
    lines: str | None = None
    raw: str | None = None
    next_page: str | None = None
    concurrently: list[Any] | None = None
    resume: str | None = None
    wait: str | None = None
    result: str | None = None
    cancel: str | None = None
    refresh: str | None = None
    webhook: Mapping[str, Any] | None = None
    warnings: bool | None = None
    logs: bool | None = None
    repr: str | None = None
    client: Mapping[str, Any] | None = None
    requests: Requests | None = None
    forget: bool | None = None
    api: Direct | None = None
    that: Any = None
    start: Mapping[str, str] | None = None
    end: str | None = None
    pause: float | None = None
    arrival: str | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    options: Mapping[str, Any] = Field(default_factory=dict)
    using: str = "c"
    name: str = "c"
    limit: int | None = None
    timeout: float | None = None
    poll_interval: float | None = None
    eventually: bool = False
    gives: Any = None
    raises: Mapping[str, Any] | None = None
    save: Mapping[str, str] = Field(default_factory=dict)
    runner: str = FIRST

    @model_validator(mode="after")
    def _one_thing(self) -> "Step":
        told = [key for key in (*COMMANDS, *OWN) if key in self.model_fields_set]
        if len(told) != 1:
            raise ValueError(f"a step is one of {', '.join((*COMMANDS, *OWN))}, not {told}")
        if self.raises is not None and "gives" in self.model_fields_set:
            raise ValueError("a step either gives or raises")
        if told[0] in COMMANDS and self.raises is None and not {"gives", "save"} & self.model_fields_set:
            raise ValueError(f"{told[0]}: what must come of it? gives, raises or save")
        return self

    @property
    def does(self) -> str:
        """Which of the keys it is."""
        return next(key for key in (*COMMANDS, *OWN) if key in self.model_fields_set)


class App(Strict):
    """A commit of an example service, to be built and deployed on the real stack.

    Attributes:
        fault: the example's fault switch.
        spec: sections of delivery.yaml that differ.
        files: more files of the commit.
    """

    fault: str = "none"
    spec: Mapping[str, Any] = Field(default_factory=dict)
    files: Mapping[str, str] = Field(default_factory=dict)


class Scenario(Strict):
    """One scenario.

    Attributes:
        name: theme.what, unique.
        about: what is right, in a sentence.
        server: rules of the misbehaving server; none: there is none.
        tls: what is wrong with that server's certificate; None: plain HTTP.
        stack: whether it needs the real stack: an organization of its own.
        app: what is to be deployed, each as `${app.project}`, `${app.feature}`, `${app.version}`.
        quick: whether it is part of `make test`; `first`: its first case is.
        steps: one after another; the first fault ends the scenario.
    """

    name: str
    about: str
    server: list[Rule] | None = None
    tls: Fault | None = None
    stack: bool = False
    app: App | None = None
    quick: bool = True
    steps: list[Step] = Field(min_length=1)


def load(folder: Path = FOLDER) -> list[Scenario]:
    """All scenarios, by file and in their order; one with `cases` once for each of them, called `theme.what[case]`.

    Raises:
        ValueError: with the file and the scenario, if one is not well formed or has another's name.
    """
    found: list[Scenario] = []
    for file in sorted(folder.glob("*.yaml")):
        for raw in yaml.safe_load(file.read_text()):
            for one in _cases(raw):
                name = f"{file.stem}.{one.get('name')}"
                try:
                    found.append(Scenario.model_validate({**one, "name": name}))
                except ValidationError as error:
                    raise ValueError(f"{name}: {error}") from None
    names = [one.name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"several scenarios are called {', '.join(sorted(twice))}")
    return found


def _cases(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cases = raw.pop("cases", None)
    if cases is None:
        yield raw
        return
    quick = raw.get("quick", True)
    for number, case in enumerate(cases):
        filled = {**_filled(raw, case), "name": f"{raw['name']}[{case['case']}]"}
        yield {**filled, "quick": number == 0 if quick == FIRST else quick}


def _filled(value: Any, case: Mapping[str, Any]) -> Any:
    """With `${case.x}` replaced; where that is all of a text, by the value itself."""
    if isinstance(value, Mapping):
        return {_filled(key, case): _filled(one, case) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, case) for one in value]
    if not isinstance(value, str):
        return value
    whole = _CASE.fullmatch(value)
    return case[whole[1]] if whole else _CASE.sub(lambda found: str(case[found[1]]), value)


def chosen(scenarios: Sequence[Scenario], patterns: Sequence[str]) -> Iterator[Scenario]:
    """Those whose name has a pattern in it, or is like it; all, if there are no patterns."""
    for one in scenarios:
        if not patterns or any(fnmatchcase(one.name, f"*{pattern}*") for pattern in patterns):
            yield one
