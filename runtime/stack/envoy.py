"""Envoy: the one listener all deployed services are reached through. Its files are the router driver's."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from domain.errors import DependencyError
from runtime.settings import ROOT
from runtime.stack import probes
from runtime.stack.layout import private_folder
from runtime.stack.process import Command

NAME = "envoy"
STOPS = ((signal.SIGTERM, 5.0),)
_RENDER_LIMIT_S = 20
_FILES = ("bootstrap.json", "cds.json", "rds.json")


@dataclass(frozen=True)
class Envoy:
    """One proxy.

    Args:
        binary: Envoy itself.
        python: interpreter of the environment the driver lives in.
        config_dir: folder of the watched files.
        admin_socket: short path, in a folder of mode 0700.
        host: address of the listener.
        port: port of the listener.
        log: file its output goes to.
        access_log: file of JSON lines, one a request.
        trusted_proxies: CIDRs whose `X-Forwarded-*` is passed on to services.
        trusted_hops: how many of them stand one behind the other.
    """

    binary: Path
    python: str
    config_dir: Path
    admin_socket: Path
    host: str
    port: int
    log: Path
    access_log: Path
    trusted_proxies: str
    trusted_hops: int
    name: str = NAME
    adoptable: bool = True

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,)

    @property
    def sockets(self) -> tuple[Path, ...]:
        return (self.admin_socket,)

    def prepare(self) -> None:
        """Let the router driver write the bootstrap; a program of its own, for `runtime` may not import drivers."""
        argv = [
            *(self.python, "-m", "drivers.routers.envoy", "--render", "--config-dir", str(self.config_dir)),
            *("--admin-socket", str(self.admin_socket), "--host", self.host, "--port", str(self.port)),
            *("--access-log", str(self.access_log)),
            *("--trusted-proxies", self.trusted_proxies, "--trusted-hops", str(self.trusted_hops)),
        ]
        try:
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_RENDER_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise DependencyError("writing Envoy's configuration takes too long") from error
        if done.returncode != 0:
            raise DependencyError(f"Envoy's configuration cannot be written: {done.stderr[-1500:].strip()}")

    def clear(self) -> None:
        """Also before a restart: without one of its files it would end at once, again and again."""
        self.admin_socket.unlink(missing_ok=True)
        for folder in (self.admin_socket.parent.parent, self.admin_socket.parent):
            private_folder(folder)
        if not self._is_whole():
            self.prepare()

    def _is_whole(self) -> bool:
        try:
            json.loads((self.config_dir / _FILES[0]).read_bytes())
        except (OSError, ValueError):
            return False
        return all((self.config_dir / name).exists() for name in _FILES)

    def command(self) -> Command:
        return Command(
            argv=(
                *(str(self.binary), "-c", str(self.config_dir / "bootstrap.json")),
                *("--concurrency", "2", "--log-level", "warn"),
                "--disable-hot-restart",  # it would share memory by a number all stacks of this machine must agree on
            ),
            env={"PATH": os.defpath},
            cwd=self.config_dir,
            log=self.log,
            stops=STOPS,
        )

    def probe(self, pid: int) -> str | None:
        """Whether it is live: listener open, first configuration loaded."""
        del pid  # the admin socket is ours alone
        return probes.answers(probes.UnixConnection(self.admin_socket), "/ready")

    def settle(self) -> None:
        """Nothing: routes are the worker's."""
