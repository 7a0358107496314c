"""What PostgreSQL, the target's folder and Envoy know, read beside the API: it may be the one that was killed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import httpx2
import psycopg
from psycopg.rows import dict_row

from drivers.shim import client
from drivers.targets.process.folder import InstanceFolder
from runtime.settings import Settings
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout

Row = dict[str, Any]


class Records:
    """Reads of one stack; every read makes a connection when the last one is gone."""

    def __init__(self, data_dir: Path) -> None:
        settings = Settings(data_dir=data_dir)
        self.layout = Layout.make(settings)
        postgres = Composition(settings, self.layout, {}).postgres
        self.postgres_data = postgres.data
        self.url = postgres.url()  # SQLAlchemy's
        self._url = self.url.replace("+psycopg", "")
        self._connection: psycopg.Connection[Row] | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def all(self, query: LiteralString, *values: object) -> Sequence[Row]:
        """Rows of a query. Raises `psycopg.OperationalError` while PostgreSQL is down."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=10, row_factory=dict_row)
            return self._connection.execute(query, values).fetchall()
        except psycopg.OperationalError:
            self.close()
            raise

    def one(self, query: LiteralString, *values: object) -> Row:
        """The one row of a query."""
        rows = self.all(query, *values)
        assert len(rows) == 1, (query, values, rows)
        return rows[0]

    @contextmanager
    def locked(self, query: LiteralString, *values: object) -> Iterator[None]:
        """Hold the locks that a statement takes: whoever wants them waits, as long as this lasts."""
        with psycopg.connect(self._url, connect_timeout=10) as connection:
            connection.execute(query, values)
            yield
            connection.rollback()

    def operation(self, operation_id: str) -> Row:
        return self.one("SELECT * FROM operations WHERE id = %s", operation_id)

    def workflow_of(self, operation_id: str) -> str:
        """The id of an operation's workflow in Temporal."""
        row = self.operation(operation_id)
        return str(row["workflow_id"] or row["id"])

    def environment(self, project_id: str, name: str = "dev") -> Row:
        return self.one("SELECT * FROM environments WHERE project_id = %s AND name = %s", project_id, name)

    def shims(self, environment_id: object) -> Mapping[str, client.ShimStatus]:
        """The instances of an environment that have a folder on the target, by id."""
        ours = {str(r["id"]) for r in self.all("SELECT id FROM releases WHERE environment_id = %s", environment_id)}
        root = self.layout.data / "instances"
        folders = [f for f in root.glob("[!.]*/") if f.name.rpartition("-")[0] in ours]
        return {f.name: client.status(InstanceFolder(f).state) for f in folders}

    def envoy_route(self, host: str) -> Mapping[str, int] | None:
        """Weights by release as Envoy routes the host now; None when it knows no such host."""
        for route in _virtual_hosts(self.layout.admin_socket):
            if host in route["domains"]:
                # The last one is everybody's; those before it are for who brings a preview's token.
                clusters = route["routes"][-1]["route"]["weighted_clusters"]["clusters"]
                return {c["name"].rpartition("~")[0]: int(c["weight"]) for c in clusters}
        return None


def _virtual_hosts(socket: Path) -> Sequence[Row]:
    transport = httpx2.HTTPTransport(uds=str(socket), verify=False)
    with httpx2.Client(transport=transport, base_url="http://envoy", timeout=30, trust_env=False) as http:
        configs = http.get("/config_dump").raise_for_status().json()["configs"]
    dumps = [d for c in configs for d in c.get("dynamic_route_configs", [])]
    return [host for d in dumps for host in d["route_config"].get("virtual_hosts", [])]
