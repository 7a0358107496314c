"""A process that is there and does nothing: as one that hangs, or a machine that is gone from the network."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from runtime.stack import orphans
from tests.chaos.records import Records
from tests.support.freezing import freeze


@contextmanager
def frozen(records: Records, part: str) -> Iterator[None]:
    """Stop a part of the stack (SIGSTOP) and let it go on at the end; the supervisor sees it alive all the while.

    Whoever kills it meanwhile may: it never goes on then.
    """
    process = psutil.Process(orphans.running(records.layout)[part])
    freeze(process.pid)
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
