"""Parts that outlived a supervisor killed with SIGKILL.

Service instances are never among them: they live under shims, with records elsewhere.
"""

import signal
from collections.abc import Collection

from runtime.logging import get_logger
from runtime.stack import envoy, postgres, temporal
from runtime.stack.identity import Identity
from runtime.stack.layout import Layout
from runtime.stack.process import end

log = get_logger(__name__)

_ORDER = ("worker", "api", "envoy", "temporal", "postgres")
_STOPS = {postgres.NAME: postgres.STOPS, temporal.NAME: temporal.STOPS, envoy.NAME: envoy.STOPS}
_OTHERS = ((signal.SIGTERM, 10.0),)


def running(layout: Layout) -> dict[str, int]:
    """Pids of the recorded parts that run now, by name."""
    found = {name: Identity.load(layout.record(name)) for name in reversed(_ORDER)}
    return {name: identity.pid for name, identity in found.items() if identity is not None and identity.alive()}


def end_leftovers(layout: Layout, keep: Collection[str] = ()) -> list[str]:
    """End what is recorded, but `keep`, in reverse of the order it came up; returns the names of what was ended."""
    ended = []
    for name in _ORDER:
        if name in keep:
            continue
        leftover = Identity.load(layout.record(name))
        if leftover is not None and leftover.alive():
            end(leftover, _STOPS.get(name, _OTHERS))
            log.info("part.leftover.ended", part=name, pid=leftover.pid)
            ended.append(name)
        layout.record(name).unlink(missing_ok=True)
    return ended
