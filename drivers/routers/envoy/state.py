"""What the driver remembers between two calls, so that the next process can go on after a crash at any moment."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from domain.routing import ReleaseCluster, RoutingTable
from drivers.routers.envoy.files import ConfigFolder, read_text, stamp
from drivers.routers.envoy.render import cluster_name
from runtime.files import write_whole

log = structlog.get_logger(__name__)
NOTHING = RoutingTable(generation=0, clusters=(), routes=())


@dataclass(frozen=True)
class State:
    """Written before Envoy's files (`pending`) and after its confirmation (`applied`).

    Attributes:
        applied: the last table Envoy confirmed.
        pending: the table whose files are being written; set while found means: a writer died halfway.
        leaving: clusters out of the applied table that may still have requests in flight.
        since: per release, the generation since which it is known without a break: its counters' age.
        held: releases that could not take the traffic they should have had; nobody waits for them again.
        awaited: names of those leaving clusters that are to come once they are healthy: they are not taken down.
        refused: why Envoy refused rows, by their fingerprints: they are not put before it again.
    """

    applied: RoutingTable = NOTHING
    pending: RoutingTable | None = None
    leaving: tuple[ReleaseCluster, ...] = ()
    since: Mapping[str, int] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def departing(self) -> tuple[ReleaseCluster, ...]:
        """Leaving for good."""
        return tuple(c for c in self.leaving if cluster_name(c) not in self.awaited)


_ADAPTER = TypeAdapter(State)


# The last text of each folder as it was read: it holds all tenants' routes, and is asked for many times a second.
_known: dict[Path, tuple[tuple[int, int, int], State]] = {}


def load(folder: ConfigFolder) -> State:
    """The remembered state; a fresh one when there is none or it cannot be read. Read anew only when it has changed."""
    mark = stamp(folder.state)  # before the text: should it change in between, it is read once more than needed
    known = _known.get(folder.state)
    if mark is not None and known is not None and known[0] == mark:
        return known[1]
    state = _read(folder)
    if mark is not None:
        _known[folder.state] = (mark, state)
    return state


def _read(folder: ConfigFolder) -> State:
    text = read_text(folder.state)
    if text is None:
        return State()
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError:
        log.warning("router.state.unreadable", path=str(folder.state))
        return State()


def save(folder: ConfigFolder, state: State) -> None:
    """Remember the state, beyond the death of this process; `sync_files` makes it outlive a power cut."""
    write_whole(folder.state, _ADAPTER.dump_json(state), sync=False)


def settled(state: State, *, took_pending: bool) -> State:
    """After a writer's death: did Envoy still take the table it was writing?

    If not (yet), that table's clusters count as leaving: routes to them may be live for a moment.
    """
    if state.pending is None:
        return state
    return confirmed(state, state.pending if took_pending else state.applied)


def confirmed(state: State, table: RoutingTable) -> State:
    """The state after Envoy took `table`: the other clusters are leaving, and known releases keep their age."""
    wanted = frozenset(map(cluster_name, table.clusters))
    leaving = tuple(c for c in present(state) if cluster_name(c) not in wanted)
    known = {c.release_id for c in (*table.clusters, *leaving)}
    since = {r: state.since.get(r, table.generation) for r in sorted(known)}
    return State(applied=table, leaving=leaving, since=since, refused=state.refused)


def held_back(state: State, wanted: RoutingTable, dead: Collection[str]) -> State:
    """The confirmed state, when `dead` releases of the table that was wanted have to wait."""
    names = {cluster_name(c) for c in wanted.clusters if c.release_id in dead}
    awaited = tuple(name for name in map(cluster_name, state.leaving) if name in names)
    return replace(state, held=tuple(sorted(dead)), awaited=awaited)


def present(state: State) -> tuple[ReleaseCluster, ...]:
    """Every cluster that Envoy may have now, each once."""
    half_written = state.pending.clusters if state.pending else ()
    everything = (*state.applied.clusters, *half_written, *state.leaving)
    return tuple({cluster_name(c): c for c in everything}.values())
