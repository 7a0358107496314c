"""Our own processes: migrations, API, worker. They get their settings, secrets included, through the environment."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime import readiness, returning
from runtime.settings import ROOT
from runtime.stack import probes
from runtime.stack.process import Command


@dataclass(frozen=True)
class Api:
    """`python -m api`; ready when `/readyz` says so."""

    env: Mapping[str, str] = field(repr=False)
    port: int
    log: Path
    host: str = "127.0.0.1"
    name: str = "api"
    adoptable: bool = False  # the code may have changed since
    sockets: tuple[Path, ...] = ()

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,)

    def prepare(self) -> None:
        """Nothing to make."""

    def clear(self) -> None:
        """Nothing is left behind."""

    def command(self) -> Command:
        return module("runtime.start", "api.__main__", env=self.env, log=self.log, patience_s=10)

    def probe(self, pid: int) -> str | None:
        del pid  # the port was free when it was chosen
        return probes.answers(probes.tcp(self.host, self.port), "/readyz")

    def settle(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Worker:
    """`python -m worker --role all`; ready when `ready_file` names it."""

    env: Mapping[str, str] = field(repr=False)
    ready_file: Path
    log: Path
    name: str = "worker"
    adoptable: bool = False  # the code may have changed since
    sockets: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()

    def prepare(self) -> None:
        """Nothing to make."""

    def clear(self) -> None:
        for told in (self.ready_file, self.ready_file.with_name(returning.NAME)):
            told.unlink(missing_ok=True)

    def command(self) -> Command:
        """A worker gets time to hand its running activities back to Temporal."""
        return module("runtime.start", "worker", "--role", "all", env=self.env, log=self.log, patience_s=25)

    def probe(self, pid: int) -> str | None:
        fault = readiness.fault(self.ready_file, pid)
        return fault and f"it has not begun to poll ({fault})"

    def settle(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Egress:
    """`python -m egress`: the way out of isolated code; ready when `ready_file` names it."""

    env: Mapping[str, str] = field(repr=False)
    ready_file: Path
    log: Path
    name: str = "egress"
    adoptable: bool = False  # the code may have changed since
    sockets: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()

    def prepare(self) -> None:
        """Nothing to make."""

    def clear(self) -> None:
        self.ready_file.unlink(missing_ok=True)

    def command(self) -> Command:
        return module("egress", env=self.env, log=self.log, patience_s=5)

    def probe(self, pid: int) -> str | None:
        fault = readiness.fault(self.ready_file, pid)
        return fault and f"it has not opened its sockets ({fault})"

    def settle(self) -> None:
        """Nothing."""


def module(name: str, *arguments: str, env: Mapping[str, str], log: Path, patience_s: float = 5) -> Command:
    """A module of this checkout, run by this interpreter."""
    return Command(
        argv=(sys.executable, "-m", name, *arguments),
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        cwd=ROOT,
        log=log,
        stops=((signal.SIGTERM, patience_s),),
    )
