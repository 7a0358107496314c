"""What `python -m runtime.stack` can do; every command answers with an exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from domain.errors import DeliveryError, DependencyError
from runtime import tenant_code
from runtime.files import write_whole
from runtime.logging import get_logger, setup_logging
from runtime.returning import Returning
from runtime.settings import Settings
from runtime.stack import orphans, ports
from runtime.stack.addresses import addresses
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout
from runtime.stack.lock import HeldError, Lock
from runtime.stack.open_files import raise_open_files
from runtime.stack.part_supervisor import PartFailedError
from runtime.stack.pausing import pause_services
from runtime.stack.supervisor import Supervisor

log = get_logger(__name__)

_DOWN_LIMIT_S = 90.0  # more than all parts' stop limits together
_COMMAND_LIMIT_S = 60.0


def say(line: str) -> None:
    """One line for people; a closed terminal must not take the stack down."""
    with suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def complain(line: str) -> None:
    """One line on stderr."""
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def up(settings: Settings, *, only: Collection[str] = (), ready_file: Path | None = None) -> int:
    """Run the stack until asked to stop: 0 after a clean stop, 1 when it did not come up."""
    layout = Layout.make(settings)
    layout.check_writable()
    _log_to_file(settings, layout)
    raise_open_files(complain)
    try:
        with Lock(layout.run / "supervisor.lock"):
            return _run(settings, layout, only, ready_file)
    except HeldError as error:
        holder = f"process {error.pid}" if error.pid else "another process"
        complain(
            f"a stack already runs on {layout.data} ({holder}). `make addresses` says where it is, `make down` stops "
            "it; for a second one set DELIVERY_DATA_DIR to another folder"
        )
        return 1


def down(settings: Settings) -> int:
    """Stop the running supervisor, or end what a killed one left."""
    layout = Layout.make(settings)
    _log_to_file(settings, layout)
    deadline = time.monotonic() + _DOWN_LIMIT_S
    asked = None
    while time.monotonic() < deadline:
        try:
            with Lock(layout.run / "supervisor.lock"):
                ended = _end_leftovers(settings, layout)
                pause_services(layout)
                layout.drop_sockets()
        except HeldError as error:
            if error.pid is not None and error.pid != asked:
                asked = error.pid
                with suppress(ProcessLookupError):
                    os.kill(error.pid, signal.SIGTERM)
            time.sleep(0.1)
            continue
        say(_ended(asked, ended, layout.data))
        return 0
    complain(f"process {asked} still holds {layout.data} after {_DOWN_LIMIT_S:.0f} s; see {layout.log('supervisor')}")
    return 1


def show_addresses(settings: Settings) -> int:
    """Print the addresses of the running or remembered stack as JSON."""
    known = ports.remembered(settings.data_dir / "ports.json")
    if not known:
        complain(f"no stack was ever started on {settings.data_dir}; `make up` starts one")
        return 1
    say(json.dumps(addresses(settings, known), indent=2))
    return 0


def admin_password(settings: Settings) -> int:
    """Give the platform admin a new password and print it, this once; the stack runs."""
    known = ports.remembered(settings.data_dir / "ports.json")
    layout = Layout.make(settings)
    if "postgres" not in orphans.running(layout):
        complain(f"no stack runs on {layout.data}; `make up` starts one")
        return 1
    command = Composition(settings, layout, known).admin_password()
    return subprocess.run(
        command.argv, env=dict(command.env), cwd=command.cwd, timeout=_COMMAND_LIMIT_S, check=False
    ).returncode


def status(settings: Settings) -> int:
    """Print each running part's pid as JSON, and the services; 3 when none runs (as `systemctl status` does)."""
    layout = Layout.make(settings)
    running = orphans.running(layout)
    told = Returning.load(layout.services) if "worker" in running else None
    shown: dict[str, object] = {**running}
    if told is not None:
        shown["services"] = {"total": told.total, "serving": told.serving, "coming_back": told.is_under_way}
    say(json.dumps(shown, indent=2))
    return 0 if running else 3


def _run(settings: Settings, layout: Layout, only: Collection[str], ready_file: Path | None) -> int:
    supervisor = Supervisor(settings, layout, only=only, say=say)
    supervisor.listen()
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # of one that was killed
    try:
        if supervisor.up():
            _announce(settings, supervisor, ready_file)
            supervisor.keep()
    except (PartFailedError, DeliveryError, OSError, subprocess.SubprocessError) as error:
        log.exception("stack.failed")
        complain(f"the stack did not come up. {error}")
        return 1
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        supervisor.down()
        if not only or "worker" in only:
            pause_services(layout)
        layout.drop_sockets()
    return 0


def _announce(settings: Settings, supervisor: Supervisor, ready_file: Path | None) -> None:
    text = json.dumps(addresses(settings, supervisor.ports), indent=2)
    if settings.effective(settings.trusted_code):
        say(f"warning: code is {tenant_code.TRUSTED} (DELIVERY_TRUSTED_CODE=false forbids it)")
    else:
        say(f"code is {tenant_code.ISOLATED}")
    say(text)
    if ready_file is not None:
        write_whole(ready_file, text, sync=False)


def _end_leftovers(settings: Settings, layout: Layout) -> list[str]:
    """What a killed supervisor left, and what a killed PostgreSQL left."""
    ended = orphans.end_leftovers(layout)
    with suppress(DependencyError):  # its programs are not installed
        Composition(settings, layout, {}).postgres.clear()
    return ended


def _ended(asked: int | None, ended: Collection[str], data: Path) -> str:
    if asked is not None:
        return f"stopped the stack on {data}"
    if ended:
        return f"ended what a killed supervisor left on {data}: {', '.join(ended)}"
    return f"no stack runs on {data}"


def _log_to_file(settings: Settings, layout: Layout) -> None:
    """The supervisor's own events go to a file beside the parts' logs; the terminal gets lines for people."""
    setup_logging(settings.log_level, service="supervisor", path=layout.log("supervisor"))
