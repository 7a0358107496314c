"""Plays a scenario with a language's runner, and says what is not as it should be."""

import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from sdks.conformance.matching import faults, shown
from sdks.conformance.runners import ANSWER_S, Json, Language, Runner, RunnerError
from sdks.conformance.scenario import FIRST, App, Direct, Requests, Scenario, Step
from sdks.conformance.server import Request, Server

KEY: Final = "sk-live_conformanceconformanceconform0a1b2c"
_VARIABLE: Final = re.compile(r"\$\{([a-zA-Z_][\w.]*)\}")
# Options and arguments whose values nobody may see in an error or a log.
_HIDDEN: Final = ("api_key", "token", "token_function", "client_secret", "refresh_token")
# Such short texts are in other words by chance.
_HIDDEN_LENGTH: Final = 8
_PATIENCE_S: Final = 60.0


class World(Protocol):
    """The real stack, as one language sees it."""

    def names(self) -> Mapping[str, Any]:
        """`api`, `token`, `organization` and what else scenarios know of it."""

    def commit(self, app: App) -> Mapping[str, Any]:
        """A version of the language's service: project, feature, version, commit."""

    def ask(self, verb: str, path: str, body: object) -> tuple[int, Any]:
        """A request of our own: status and JSON."""


class Fault(Exception):  # noqa: N818 - not an error of ours: what the SDK does wrong
    """The scenario's first fault, in words."""


@dataclass
class Stage:
    """What lasts from one scenario of a language to the next: its runner."""

    language: Language
    runner: Runner | None = None

    def first(self) -> Runner:
        """The runner; a new one if there is none."""
        if self.runner is None:
            self.runner = self.language.start()
            hello = self.runner.ask({"do": "hello"})
            if not hello["ok"] or hello.get("language") != self.language.name or not hello.get("version"):
                raise RunnerError(f"hello was answered with {shown(hello)}")
        return self.runner

    def close(self) -> None:
        """End the runner."""
        runner, self.runner = self.runner, None
        if runner is not None:
            runner.close()


@dataclass
class Played:
    """What came of a scenario; `fault` None: green."""

    scenario: str
    fault: str | None
    seconds: float


def play(scenario: Scenario, stage: Stage, world: World | None) -> Played:
    """Play one scenario; a runner that failed is ended, the next scenario gets a new one."""
    began = time.monotonic()
    fault: str | None = None
    try:
        with _Play(scenario, stage, world) as running:
            running.all()
    except Fault as found:
        fault = str(found)
    except RunnerError as broken:
        stage.close()
        fault = f"the runner: {broken}"
    return Played(scenario.name, fault, time.monotonic() - began)


@dataclass
class _Play(ExitStack):
    scenario: Scenario
    stage: Stage
    world: World | None
    scope: dict[str, Any] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    clients: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.runners: dict[str, Runner] = {}
        self.server: Server | None = None

    def all(self) -> None:
        """Raises Fault or RunnerError."""
        self._set_up()
        for number, step in enumerate(self.scenario.steps, 1):
            try:
                self._do(step)
            except Fault as found:
                raise Fault(f"step {number} ({step.does}): {found}") from None

    def _set_up(self) -> None:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        self.scope |= {"unique": secrets.token_hex(5), "key": KEY, "yesterday": yesterday.isoformat(timespec="seconds")}
        self.hidden.add(KEY)
        nobody = self.enter_context(socket.socket())
        nobody.bind(("127.0.0.1", 0))  # ours, and nobody listens there
        self.scope["closed"] = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        if self.world is not None:
            self.scope |= self.world.names()
            if self.scenario.app is not None:
                self.scope["app"] = dict(self.world.commit(self.scenario.app))
        if self.scenario.server is not None:
            rules = [
                type(one).model_validate(self._filled(one.model_dump(exclude_unset=True)))
                for one in self.scenario.server
            ]
            self.server = Server(rules, self.scenario.tls)
            self.callback(self.server.close)
            self.scope |= {"server": self.server.url, "address": self.server.url.partition("//")[2]}

    def _do(self, step: Step) -> None:
        own: Mapping[str, Callable[[Step], None]] = {
            "client": self._client,
            "requests": lambda one: self._requests(one.requests or Requests()),
            "forget": lambda _: self.server.forget() if self.server else None,
            "api": self._api,
            "that": lambda one: self._expect(one.that, self.scope, "what was kept"),
            "start": self._start,
            "end": self._end,
            "arrival": self._arrival,
            "pause": lambda one: time.sleep(one.pause or 0),
        }
        deadline = time.monotonic() + (ANSWER_S if step.eventually else 0)
        while True:
            try:
                own.get(step.does, self._ask)(step)
            except Fault:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    # -- runners and clients

    def _runner(self, name: str) -> Runner:
        if name not in self.runners:
            if name != FIRST:
                raise Fault(f"the scenario does not start a runner {name}")
            self.runners[name] = self.stage.first()
        return self.runners[name]

    def _start(self, step: Step) -> None:
        runner = self.stage.language.start(self._filled(dict(step.start or {})))
        self.runners[step.runner] = runner
        self.callback(runner.close)

    def _end(self, step: Step) -> None:
        self.runners.pop(step.end or "").close()

    def _client(self, step: Step) -> None:
        options = self._filled(dict(step.client or {}))
        self.hidden |= {str(options[key]) for key in _HIDDEN if key in options}
        answer = self._runner(step.runner).ask({"do": "client", "name": step.name, "options": options})
        self.clients.add((step.runner, step.name))
        if step.raises is not None and answer["ok"]:  # it may be told at its first call
            call = {"do": "call", "client": step.name, "method": "users.me", "arguments": {}, "options": {}}
            answer = self._runner(step.runner).ask(call)
        self._judge(step, answer, None)

    def _known(self, step: Step) -> None:
        """The client that scenarios need not make."""
        if (
            step.using == "c"
            and (step.runner, "c") not in self.clients
            and step.does not in ("webhook", "warnings", "logs")
        ):
            stack = {"base_url": "${api}", "token": "${token}"}
            served = {"base_url": "${server}", "api_key": "${key}"}
            self._client(Step(client=served if self.server else stack, runner=step.runner))

    # -- commands

    def _ask(self, step: Step) -> None:
        self._known(step)
        command, seconds = self._command(step)
        answer = self._runner(step.runner).ask(command, seconds)
        for kept in ("operation", "page"):
            if isinstance(answer.get(kept), str):
                self.scope[kept] = answer[kept]
        if step.does == "concurrently":
            for one in answer.get("answers") or ():
                self._nothing_hidden(str(one.get("error")), "an error")
        self._judge(step, answer, _value(step, answer))

    def _command(self, step: Step) -> tuple[Json, float]:
        about = self._filled(getattr(step, step.does))
        command: Json = {"do": step.does}
        seconds = ANSWER_S
        if step.does in ("call", "iterate", "lines", "raw"):
            command |= self._call({"call": about, "arguments": step.arguments, "options": step.options}, step.using)
            command |= {"limit": step.limit} if step.limit is not None else {}
        elif step.does == "concurrently":
            calls = [self._call(one, step.using) for one in about for _ in range(one.get("times", 1))]
            command["calls"] = calls
        elif step.does == "webhook":
            self.hidden |= set(about.get("secrets", ()))
            command |= about
        elif step.does == "resume":
            command |= {"client": step.using, "operation_id": about}
        elif step.does == "repr":
            command["client"] = step.using
        elif step.does == "next_page":
            command["page"] = about
        elif step.does in ("wait", "result", "cancel", "refresh"):
            command["operation"] = about
            if step.does in ("wait", "result"):
                command["timeout"] = step.timeout or ANSWER_S
                seconds = (step.timeout or ANSWER_S) + _PATIENCE_S
            if step.poll_interval is not None:
                command["poll_interval"] = step.poll_interval
        return command, seconds

    def _call(self, told: Mapping[str, Any], client: str) -> Json:
        arguments = self._filled(dict(told.get("arguments", {})))
        if told["call"].startswith("secrets.") and "value" in arguments:
            self.hidden.add(str(arguments["value"]))
        options = self._filled(dict(told.get("options", {})))
        return {"client": told.get("using", client), "method": told["call"], "arguments": arguments, "options": options}

    def _judge(self, step: Step, answer: Json, value: object) -> None:
        if step.raises is not None:
            self._expect_error(step, answer)
            return
        if not answer["ok"]:
            error = answer.get("error") or {}
            raise Fault(f"{error.get('class')}: {shown(error.get('message'))} ({shown(error)})")
        if "gives" in step.model_fields_set:
            self._expect(self._filled(step.gives), value, step.does)
        if step.does in ("logs", "repr"):
            self._nothing_hidden(str(value), step.does)
        for name, way in step.save.items():
            self.scope[name] = _at(value, way)

    def _expect_error(self, step: Step, answer: Json) -> None:
        error = answer.get("error")
        if answer["ok"] or not isinstance(error, dict):
            raise Fault(f"no error was raised: {shown(answer)}")
        if error.get("class") == "Unsupported":
            raise Fault(f"the runner cannot do it: {error.get('message')}")
        classes = error.get("classes") or []
        wanted = dict(self._filled(dict(step.raises or {})))
        kinds = wanted.pop("is", [])
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            if kind not in [error.get("class"), *classes]:
                raise Fault(f"it is no {kind} but {shown(classes or error.get('class'))}: {shown(error)}")
        self._expect(wanted, error, "the error")
        if classes and (classes[0] != error.get("class") or classes[-1] != "AIAgentsError"):
            raise Fault(f"classes go from the most special one to AIAgentsError: {shown(error)}")
        if not classes and error.get("class") != "InvalidArgument":
            raise Fault(f"the error has no classes: {shown(error)}")
        if not str(error.get("message") or "").strip():
            raise Fault(f"the error says nothing: {shown(error)}")
        self._nothing_hidden(str(error), "the error")
        for name, way in step.save.items():
            self.scope[name] = _at(error, way)

    def _expect(self, wanted: object, actual: object, where: str) -> None:
        found = list(faults(self._filled(wanted), actual, where))
        if found:
            raise Fault("; ".join(found[:3]))

    def _nothing_hidden(self, text: str, where: str) -> None:
        for one in self.hidden:
            if len(one) >= _HIDDEN_LENGTH and one in text:
                raise Fault(f"{where} has a secret in it: {one[:4]}...")

    # -- what the suite looks at itself

    def _requests(self, wanted: Requests) -> None:
        found = [one for one in self._got() if wanted.to == "*" or _is(wanted.to, one)]
        told = [one.as_json() for one in found]
        summary = f"{len(found)} requests{'' if wanted.to == '*' else f' {wanted.to}'}"
        if wanted.count is not None:
            self._expect(wanted.count, len(found), f"the number of {summary}")
        if wanted.each is not None:
            self._expect({"$each": self._filled(wanted.each)}, told, "requests")
        if wanted.items is not None:
            self._expect(wanted.items, told, "requests")
        for fault in _compared(wanted, found):
            raise Fault(f"{summary}: {fault}")

    def _arrival(self, step: Step) -> None:
        deadline = time.monotonic() + ANSWER_S
        while not (found := [one for one in self._got() if _is(step.arrival or "*", one)]):
            if time.monotonic() > deadline:
                raise Fault(f"nothing came as {step.arrival}")
            time.sleep(0.05)
        self.scope["arrival"] = found[0].as_json()

    def _got(self) -> Sequence[Request]:
        if self.server is None:
            raise Fault("the scenario has no server of its own")
        return self.server.requests

    def _api(self, step: Step) -> None:
        if self.world is None:
            raise Fault("the scenario does not need the stack")
        direct: Direct = step.api or Direct(path="")
        status, body = self.world.ask(direct.verb, self._filled(direct.path), self._filled(direct.body))
        if direct.status is not None:
            self._expect(direct.status, status, f"{direct.path}: the status")
        if "gives" in step.model_fields_set:
            self._expect(step.gives, body.get("data") if isinstance(body, dict) else body, direct.path)
        for name, way in step.save.items():
            self.scope[name] = _at(body.get("data"), way)

    def _filled(self, value: Any) -> Any:
        """With the names that the scenario knows in place of ${...}."""
        if isinstance(value, Mapping):
            return {self._filled(key): self._filled(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._filled(one) for one in value]
        if not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        if whole:
            return self._named(whole[1])
        return _VARIABLE.sub(lambda found: str(self._named(found[1])), value)

    def _named(self, name: str) -> Any:
        found = _at(self.scope, name)
        if found is None:
            raise Fault(f"nothing is known as {name}")
        return found


def _value(step: Step, answer: Json) -> object:
    if step.does in ("iterate", "lines", "warnings"):
        return answer.get("values")
    if step.does == "concurrently":
        return answer.get("answers")
    if step.does in ("raw", "resume", "wait", "cancel", "refresh") or "operation" in answer:
        return answer
    return answer.get("value")


def _at(value: Any, way: str) -> Any:
    """What is at the end of a way like `data.0.id`; None if there is nothing. `.` is all of it."""
    for part in way.split(".") if way != "." else ():
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdecimal() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _is(on: str, request: Request) -> bool:
    pattern = re.escape(on).replace(r"\*", ".*").replace(r"\ ", " ")
    return re.fullmatch(pattern, f"{request.verb} {request.path}") is not None


def _compared(wanted: Requests, found: Sequence[Request]) -> Iterator[str]:
    for name in wanted.same:
        values = {one.headers.get(name) for one in found}
        if len(values) != 1 or None in values:
            yield f"{name} is not the same in all: {values}"
    for name in wanted.different:
        given = [one.headers.get(name) for one in found]
        if len(set(given)) != len(given) or None in given:
            yield f"{name} is not another in each: {given}"
    for number, least in enumerate(wanted.apart):
        between = found[number + 1].at - found[number].at if number + 1 < len(found) else 0.0
        if between < least:
            yield f"{between:.2f} s lie between the requests {number + 1} and {number + 2}, not {least:g}"
