"""Temporal's dev server with its web UI: state in a file, every wait of the defaults tuned away."""

import http.client
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.logging import get_logger
from runtime.stack import probes, sqlite_file
from runtime.stack.process import Command

log = get_logger(__name__)

NAME = "temporal"
RETENTION_DAYS = 7
STOPS = ((signal.SIGINT, 8.0),)
SEARCH_ATTRIBUTES = ("Organization", "Project", "Environment", "DeliveryStatus", "OperationKind")
_NAMESPACE = "/api/v1/namespaces/default"

# Measured: ten activities take 549 ms with the defaults and 114 ms with these; timers have a floor of 1 s and 23 ms.
_DYNAMIC = (
    "history.transferProcessorMaxPollRPS=10000",
    "history.timerProcessorMaxPollRPS=1000",
    "history.visibilityProcessorMaxPollRPS=100",
    'history.timerProcessorMaxTimeShift="10ms"',
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    # Queues that are behind serve organizations in turn (`Priority.fairness_key`); exact with one partition only.
    "matching.enableFairness=true",
)
TUNING = (
    *(part for value in _DYNAMIC for part in ("--dynamic-config-value", value)),
    *(part for name in SEARCH_ATTRIBUTES for part in ("--search-attribute", f"{name}=Keyword")),
)


@dataclass(frozen=True)
class TemporalPorts:
    """Ports on 127.0.0.1: gRPC, web UI, HTTP API, metrics."""

    frontend: int
    ui: int
    http: int
    metrics: int


class Temporal:
    """One dev server.

    Args:
        binary: the Temporal CLI.
        database: SQLite file of its state.
        log: file its output goes to.
        tell: gets a line for people.
    """

    name = NAME
    adoptable = True
    sockets: tuple[Path, ...] = ()

    @property
    def ports(self) -> tuple[int, ...]:
        return (self._ports.frontend, self._ports.ui, self._ports.http, self._ports.metrics)

    def __init__(
        self,
        binary: Path,
        database: Path,
        log: Path,
        ports: TemporalPorts,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._tell = tell
        self._binary = binary
        self._database = database
        self._log = log
        self._ports = ports

    def prepare(self) -> None:
        """Nothing: the server makes its file itself."""

    def clear(self) -> None:
        """A file that cannot be read is set aside: the record is in PostgreSQL, without a server nothing goes on."""
        fault = sqlite_file.fault(self._database)
        if fault is None:
            return
        aside = sqlite_file.set_aside(self._database)
        log.error("temporal.database.set_aside", fault=fault, aside=str(aside))
        self._tell(
            f"Temporal's file {self._database} was damaged ({fault}) and is now {aside.name}: operations that were "
            "under way end as failed with ORCHESTRATION_LOST, what served serves on, finished work is all there"
        )

    def command(self) -> Command:
        ports = self._ports
        return Command(
            argv=(
                *(str(self._binary), "server", "start-dev", "--ip", "127.0.0.1", "--ui-ip", "127.0.0.1"),
                *("--port", str(ports.frontend), "--ui-port", str(ports.ui)),
                *("--http-port", str(ports.http), "--metrics-port", str(ports.metrics)),
                *("--db-filename", str(self._database)),
                *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"),
                *("--ui-disable-news-fetch", "--log-format", "json", "--log-level", "warn"),
                *TUNING,
            ),
            # the CLI reads ~/.config/temporalio and TEMPORAL_* variables: a developer's own must not reach it
            env={"PATH": os.defpath, "HOME": str(self._database.parent)},
            cwd=self._database.parent,
            log=self._log,
            stops=STOPS,
        )

    def probe(self, pid: int) -> str | None:
        """Whether the server knows its namespace (the port is open before that)."""
        del pid  # the port was free when it was chosen
        return probes.answers(self._connection(), _NAMESPACE)

    def settle(self) -> None:
        """Keep closed workflows for a week: the dev server's default is one day.

        Raises:
            OSError: the server went away, or refuses.
        """
        retention = {"config": {"workflowExecutionRetentionTtl": f"{RETENTION_DAYS * 86_400}s"}}
        status, body = probes.request(self._connection(), f"{_NAMESPACE}/update", retention)
        if status != http.client.OK:
            raise OSError(f"Temporal refuses the retention: {status} {body[:300]!r}")

    def _connection(self) -> http.client.HTTPConnection:
        return probes.tcp("127.0.0.1", self._ports.http)
