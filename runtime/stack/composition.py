"""Which parts make a stack, and the settings they share."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from runtime.keys import key_file
from runtime.settings import Settings
from runtime.stack import binaries
from runtime.stack.addresses import reachable
from runtime.stack.envoy import Envoy
from runtime.stack.layout import Layout
from runtime.stack.part import Part
from runtime.stack.postgres import Postgres
from runtime.stack.process import Command
from runtime.stack.services import Api, Egress, Worker, module
from runtime.stack.temporal import Temporal, TemporalPorts

SCHEMA_WAIT_S = 600
"""Longer than servers and migrations may take together: the supervisor gives up before its services do."""
PORTS_OF = {
    "temporal": ("temporal", "temporal_ui", "temporal_http", "temporal_metrics"),
    "envoy": ("ingress",),
    "api": ("api",),
}


@dataclass(frozen=True)
class Composition:
    """The parts of one stack on given ports. Servers come up together; then migrations; then our own processes."""

    settings: Settings
    layout: Layout
    ports: Mapping[str, int]
    tell: Callable[[str], None] = lambda _: None
    """Gets a line for people."""

    @property
    def servers(self) -> list[Part]:
        return [self.postgres, self._temporal(), self._envoy()]

    @property
    def services(self) -> list[Part]:
        """Workers before the API would be as good: both wait for the schema themselves."""
        env = {**self.environment(), "DELIVERY_SCHEMA_WAIT_S": str(SCHEMA_WAIT_S)}
        return [
            *self._ways_out(),
            Api(
                env=env,
                host=reachable(self.settings.api_host),
                port=self.ports["api"],
                log=self.layout.log("api"),
            ),
            Worker(
                env=env,
                ready_file=self.layout.run / "worker.ready",
                log=self.layout.log("worker"),
            ),
        ]

    def _ways_out(self) -> list[Part]:
        """Before the worker, which brings services back. Trusted code has the machine's own network."""
        if self.settings.effective(self.settings.trusted_code):
            return []
        layout = self.layout
        env = {"DELIVERY_DATA_DIR": str(layout.data)}
        return [Egress(env=env, ready_file=layout.run / "egress.ready", log=layout.log("egress"))]

    @cached_property
    def postgres(self) -> Postgres:
        layout = self.layout
        return Postgres(
            binaries.postgres_dir(self.settings), layout.data, layout.sockets, layout.secrets, layout.log("postgres")
        )

    def migrations(self) -> Command:
        """Brings the database to the present tables; ends by itself."""
        return module("storage.migrations", env=self.environment(), log=self.layout.log("migrations"))

    def bootstrap(self, *, told: bool) -> Command:
        """Makes the platform admin at the first start; ends by itself. `told`: prints the password, to a person."""
        options = () if told else ("--untold",)
        return module("api.cli.bootstrap_admin", *options, env=self.environment(), log=self.layout.log("bootstrap"))

    def admin_password(self) -> Command:
        """Gives the platform admin a new password and prints it; ends by itself."""
        return module("api.cli.bootstrap_admin", "reset", env=self.environment(), log=self.layout.log("bootstrap"))

    def environment(self) -> dict[str, str]:
        """The settings of API and worker; `DELIVERY_DATABASE_URL` holds a password."""
        settings, layout = self.settings, self.layout
        values = {
            "DATA_DIR": layout.data,
            "RUNTIME_DIR": layout.sockets,
            "DATABASE_URL": self.postgres.url(),
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self.ports['temporal']}",
            "TEMPORAL_UI_URL": f"http://127.0.0.1:{self.ports['temporal_ui']}",
            "API_HOST": settings.api_host,
            "API_PORT": self.ports["api"],
            "INTERNAL_HOST": settings.internal_host,
            "API_INTERNAL_PORT": self.ports.get("api_internal", 0),
            "WORKER_INTERNAL_PORT": self.ports.get("worker_internal", 0),
            "INGRESS_HOST": settings.ingress_host,
            "INGRESS_PORT": self.ports["ingress"],
            "ENVOY_CONFIG_DIR": layout.envoy_config,
            "ENVOY_ADMIN_SOCKET": layout.admin_socket,
            "ADMIN_EMAIL": settings.admin_email,
            "JWT_PRIVATE_KEY_FILE": key_file(settings).absolute(),
        }
        return {f"DELIVERY_{name}": str(value) for name, value in values.items()}

    def _temporal(self) -> Temporal:
        ports = TemporalPorts(*(self.ports[name] for name in PORTS_OF["temporal"]))
        layout = self.layout
        database = layout.data / "temporal.db"
        return Temporal(binaries.temporal(self.settings), database, layout.log("temporal"), ports, self.tell)

    def _envoy(self) -> Envoy:
        layout = self.layout
        return Envoy(
            binary=binaries.envoy(self.settings),
            python=sys.executable,
            config_dir=layout.envoy_config,
            admin_socket=layout.admin_socket,
            host=self.settings.ingress_host,
            port=self.ports["ingress"],
            log=layout.log("envoy"),
            access_log=layout.log("ingress"),
            trusted_proxies=self.settings.ingress_trusted_proxies,
            trusted_hops=self.settings.ingress_trusted_hops,
        )
