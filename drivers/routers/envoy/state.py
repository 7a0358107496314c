"""The driver's state between two calls, so that the next process can resume after a crash at any moment."""

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
        pending: the table whose files are being written; if it is set when loaded, a writer died halfway.
        leaving: clusters out of the applied table that may still have requests in flight.
        since: per release, the generation since which it has been present without a break: its counters' age.
        held: releases that were not ready for their traffic; `apply` does not wait for them again.
        awaited: names of leaving clusters that get routes once they are healthy: they are not removed.
        refused: why Envoy refused rows, by their fingerprints: they are not submitted again.
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


# The last text of each folder: it holds all tenants' routes, and is needed many times a second.
_known: dict[Path, tuple[tuple[int, int, int], State]] = {}


def load(folder: ConfigFolder) -> State:
    """The saved state; a fresh one if it is missing or unreadable. Read again only when the file has changed."""
    mark = stamp(folder.state)  # before the text: if it changes in between, it is only read once more than needed
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
    """Save the state for the next process; `sync_files` makes it survive a power cut."""
    write_whole(folder.state, _ADAPTER.dump_json(state), sync=False)


def settled(state: State, *, took_pending: bool) -> State:
    """After a writer's death: check whether Envoy has applied the table that was being written.

    If not (yet), that table's clusters count as leaving: routes to them may become live for a moment.
    """
    if state.pending is None:
        return state
    return confirmed(state, state.pending if took_pending else state.applied)


def confirmed(state: State, table: RoutingTable) -> State:
    """The state after Envoy applied `table`: the other clusters are leaving, and known releases keep their age."""
    wanted = frozenset(map(cluster_name, table.clusters))
    leaving = tuple(c for c in present(state) if cluster_name(c) not in wanted)
    known = {c.release_id for c in (*table.clusters, *leaving)}
    since = {r: state.since.get(r, table.generation) for r in sorted(known)}
    return State(applied=table, leaving=leaving, since=since, refused=state.refused)


def held_back(state: State, wanted: RoutingTable, dead: Collection[str]) -> State:
    """The confirmed state when `dead` releases of the requested table have to wait."""
    names = {cluster_name(c) for c in wanted.clusters if c.release_id in dead}
    awaited = tuple(name for name in map(cluster_name, state.leaving) if name in names)
    return replace(state, held=tuple(sorted(dead)), awaited=awaited)


def present(state: State) -> tuple[ReleaseCluster, ...]:
    """Every cluster that Envoy may have now, each once."""
    half_written = state.pending.clusters if state.pending else ()
    everything = (*state.applied.clusters, *half_written, *state.leaving)
    return tuple({cluster_name(c): c for c in everything}.values())
