"""PostgreSQL: data folder, superuser, the database `delivery`; listens on a unix socket only."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import LiteralString
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from domain.errors import DependencyError
from runtime.stack import remains
from runtime.stack.identity import Identity
from runtime.stack.layout import private_folder
from runtime.stack.process import Command, end
from runtime.stack.run_unprivileged import Unroot
from runtime.stack.secrets import password

NAME = "postgres"
DATABASE = ROLE = "delivery"
PORT = 5432  # names the socket's file only; no TCP port is opened
_SUPERUSER = "postgres"
_INITDB_LIMIT_S = 300  # two seconds of work, and a minute on a machine with forty programs that want to run
STOPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))
"""A fast, then an immediate shutdown (postgres(1)); SIGTERM would wait for clients."""
_CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %a ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres:
    """One PostgreSQL server.

    Args:
        binaries: folder with `postgres` and `initdb`.
        home: folder the data folder `postgres/` is made in (unless root may not use it, see `Unroot`).
        sockets: short folder for the socket.
        secrets: folder of the passwords, mode 0700.
        log: file the server's output goes to.
        configuration: further server parameters.
    """

    name = NAME
    adoptable = True
    ports: tuple[int, ...] = ()

    def __init__(
        self,
        binaries: Path,
        home: Path,
        sockets: Path,
        secrets: Path,
        log: Path,
        *,
        configuration: Mapping[str, str] | None = None,
        unroot: Unroot | None = None,
    ) -> None:
        self._unroot = unroot or Unroot.detect(binaries / "postgres", home)
        self._binaries = self._unroot.install(binaries)
        self.data = (self._unroot.home or home) / NAME
        self._sockets = sockets / "pg" if self._unroot.home is None else self._unroot.home / "s"
        self._secrets = secrets
        self._log = log
        self._configuration = {**_CONFIGURATION, **(configuration or {})}

    @property
    def sockets(self) -> tuple[Path, ...]:
        return (self._sockets / f".s.PGSQL.{PORT}",)

    def prepare(self) -> None:
        """Make the data folder at first start."""
        self._unroot.own(self._sockets)
        if not (self.data / "PG_VERSION").exists():
            self._create()

    def clear(self) -> None:
        """Before a start: end a server without a record and what is left of a dead one, remove lock files.

        The pids in these may be others' by now. A backend that is left keeps the server's shared memory, and no new
        server starts beside that.

        Raises:
            DependencyError: a process of the dead server survives SIGKILL.
        """
        running = self.running()
        if running is not None:  # never two servers on one data folder
            end(running, STOPS)
        remains.end(NAME, self._works_here)
        for leftover in (self.data / "postmaster.pid", *self._sockets.glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)
        if self._unroot.home is None:
            private_folder(self._sockets.parent)
        self._unroot.own(self._sockets)

    def running(self) -> Identity | None:
        """The server working on our data folder, also one that another process started."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            if Path(f"/proc/{pid}/cwd").readlink() == self.data.resolve():
                return Identity.of(pid)
        except (OSError, ValueError):
            pass
        return None

    def _works_here(self, process: psutil.Process) -> bool:
        """Whether it is a server process on our data folder.

        Each of them leads a session of its own and has written its title over its environment, so the program
        and the working directory tell: no other `postgres` works in there.
        """
        program = Path(process.exe().removesuffix(" (deleted)")).name
        return program == "postgres" and Path(process.cwd()) == self.data.resolve()

    def command(self) -> Command:
        """The server with its configuration; stopped by a fast, then an immediate shutdown."""
        settings = {**self._configuration, "unix_socket_directories": f'"{self._sockets}"'}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return self._command("postgres", "-D", str(self.data), *options)

    def probe(self, pid: int) -> str | None:
        """Whether the superuser can log in."""
        del pid  # the socket is ours alone
        try:
            with self._connect(_SUPERUSER, "postgres"):
                return None
        except psycopg.OperationalError as error:
            return str(error).strip().splitlines()[-1]

    def settle(self) -> None:
        """Make the role and the database of the engine once."""
        with self._connect(_SUPERUSER, "postgres", autocommit=True) as connection:
            secret = sql.Literal(password(self._secrets, ROLE))
            role = sql.Identifier(ROLE)
            if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", ROLE):
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, secret))
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role))

    def url(self, database: str = DATABASE) -> str:
        """SQLAlchemy's address of a database for the role `delivery`; contains the password."""
        return self._url(ROLE, database)

    def admin_url(self) -> str:
        """The superuser's address; for tests and repairs."""
        return self._url(_SUPERUSER, "postgres")

    def _url(self, role: str, database: str) -> str:
        secret = quote(password(self._secrets, role), safe="")
        return f"postgresql+psycopg://{role}:{secret}@/{database}?host={quote(str(self._sockets))}&port={PORT}"

    def _connect(self, role: str, database: str, *, autocommit: bool = False) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._sockets),
            port=PORT,
            user=role,
            password=password(self._secrets, role),
            dbname=database,
            connect_timeout=3,
            autocommit=autocommit,
        )

    def _create(self) -> None:
        """Run initdb into a folder that is renamed when complete: a killed first start leaves nothing half made."""
        partial = self.data.with_name(f"{NAME}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._unroot.own(partial)
        password(self._secrets, _SUPERUSER)
        pwfile = self._sockets / "pwfile"
        pwfile.write_text(password(self._secrets, _SUPERUSER))
        if self._unroot.user:
            os.chown(pwfile, *self._unroot.user)
        try:
            self._initdb(partial, pwfile)
        finally:
            pwfile.unlink()
        partial.rename(self.data)

    def _initdb(self, folder: Path, pwfile: Path) -> None:
        command = self._command(
            "initdb",
            f"--pgdata={folder}",
            f"--username={_SUPERUSER}",
            f"--pwfile={pwfile}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )
        uid, gid = command.user or (None, None)
        done = subprocess.run(
            command.argv,
            env=dict(command.env),
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INITDB_LIMIT_S,
            check=False,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
        )
        if done.returncode != 0:
            raise DependencyError(f"PostgreSQL cannot make its data folder {self.data}: {done.stderr[-1500:].strip()}")

    def _command(self, program: str, *arguments: str) -> Command:
        return Command(
            argv=(*self._unroot.prefix, str(self._binaries / program), *arguments),
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            cwd=self.data.parent,
            log=self._log,
            user=self._unroot.user,
            stops=STOPS,
        )


def _exists(connection: psycopg.Connection, query: LiteralString, name: str) -> bool:
    return connection.execute(query, (name,)).fetchone() is not None
