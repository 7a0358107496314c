"""Deployed services end with a clean stop of the stack, and the worker brings them back after the next start."""

import subprocess

from runtime.logging import get_logger
from runtime.stack.layout import Layout
from runtime.stack.services import module

log = get_logger(__name__)

_LIMIT_S = 60.0


def pause_services(layout: Layout) -> None:
    """End the service processes but keep their folders and ports; what cannot be ended is logged, not raised.

    In a process of its own, because the stack's ground floor does not know the drivers.
    """
    instances = layout.data / "instances"
    if not instances.is_dir():
        return
    command = module("drivers.targets.process", "--root", str(instances), "--pause", env={}, log=layout.log("services"))
    try:
        with command.log.open("ab") as output:
            code = subprocess.run(
                command.argv,
                env=dict(command.env),
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_LIMIT_S,
                check=False,
            ).returncode
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("services.not_paused", reason=str(error))
        return
    log.info("services.paused", exit_code=code)
