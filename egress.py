"""Composition root of the way out of other people's code: settings -> rules -> proxy. `python -m egress`.

One for each data folder, in a process of its own: connections of services stay when a worker is started again.
"""

import asyncio
import os
import signal
import sys
from contextlib import ExitStack

import structlog
import uvloop

from domain.errors import DeliveryError
from drivers.egress.doors import Doors
from drivers.egress.lookups import THREADS
from drivers.egress.proxy import Proxy
from drivers.egress.sandboxes import Sandboxes
from drivers.egress.shares import Limits, Shares
from runtime import readiness
from runtime.logging import setup_logging
from runtime.outbound import SystemLookup, bound_patience
from runtime.settings import Settings, get_settings
from runtime.stack.open_files import raise_open_files

log = structlog.get_logger("egress")
MIB = 1024 * 1024


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        DependencyError: another one serves this data folder.
    """
    lookup = SystemLookup(THREADS)
    limits = Limits(settings.code_connections_per_organization, settings.code_mb_per_second_per_organization * MIB)
    proxy = Proxy(settings.code_rules, Shares(limits), lookup.resolve)
    stack = ExitStack()

    def tell() -> None:
        stack.enter_context(readiness.told(settings.egress_ready_file))
        log.info("egress.ready", root=str(settings.egress_dir))

    serving = asyncio.create_task(Doors(Sandboxes(settings.egress_dir), proxy).run(tell))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await asyncio.wait((serving,))
        if not serving.cancelled():
            serving.result()
    finally:
        lookup.close()
        stack.close()


def main() -> int:
    """Entry point; the exit status is for the shell."""
    settings = get_settings()
    setup_logging(settings.log_level, service="egress")
    try:
        bound_patience()
        raise_open_files(lambda line: log.warning("egress.few_files", words=line))
        uvloop.run(run(settings))
    except (DeliveryError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # A thread may still wait for a resolver; nobody waits for that thread.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
