"""Parts that outlived a supervisor killed with SIGKILL.

Service instances are never among them: they live under shims, with records elsewhere.
"""

import signal
from collections.abc import Collection

from runtime.logging import get_logger
from runtime.stack import envoy, postgres, remains, temporal
from runtime.stack.identity import Identity
from runtime.stack.layout import Layout
from runtime.stack.process import end

log = get_logger(__name__)

_ORDER = ("worker", "api", "egress", "envoy", "temporal", "postgres")
_PASSING = ("migrations", "bootstrap")
"""Commands of a start. One whose supervisor died may hang, and then holds locks in the database."""
_STOPS = {postgres.NAME: postgres.STOPS, temporal.NAME: temporal.STOPS, envoy.NAME: envoy.STOPS}
_OTHERS = ((signal.SIGTERM, 10.0),)


def running(layout: Layout) -> dict[str, int]:
    """Pids of the recorded parts that run now, by name."""
    found = {name: Identity.load(layout.record(name)) for name in reversed(_ORDER)}
    return {name: identity.pid for name, identity in found.items() if identity is not None and identity.alive()}


def end_leftovers(layout: Layout, keep: Collection[str] = ()) -> list[str]:
    """End what is there of a stack, but `keep`, in reverse of the order it came up; the names of what was ended.

    Raises:
        DependencyError: something survives SIGKILL.
    """
    return [name for name in (*_PASSING, *_ORDER) if name not in keep and _end(layout, name)]


def _end(layout: Layout, name: str) -> bool:
    """The recorded process politely; what is left of it, or never was recorded, with SIGKILL."""
    leftover = Identity.load(layout.record(name))
    recorded = leftover is not None and leftover.alive()
    if leftover is not None and recorded:
        end(leftover, _STOPS.get(name, _OTHERS))
        log.info("part.leftover.ended", part=name, pid=leftover.pid)
    rest = remains.end(name, remains.marked(layout.mark(name)))
    layout.record(name).unlink(missing_ok=True)
    return recorded or bool(rest)
