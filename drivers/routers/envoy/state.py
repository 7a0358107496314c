"""What the driver remembers between two calls, so that the next process can go on after a crash at any moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import structlog
from pydantic import TypeAdapter, ValidationError

from drivers.routers.base import Endpoint, ReleaseCluster, RoutingTable
from drivers.routers.envoy.files import ConfigFolder, read_text, write_atomically

log = structlog.get_logger(__name__)
NOTHING = RoutingTable(generation=0, clusters=(), routes=())


@dataclass(frozen=True)
class State:
    """Written before Envoy's files (`pending`) and after its confirmation (`applied`).

    Attributes:
        applied: the last table Envoy confirmed.
        pending: the table whose files are being written; set while found means: a writer died halfway.
        leaving: endpoints out of the applied table that may still have requests in flight.
        since: per release, the generation since which it is known without a break: its counters' age.
    """

    applied: RoutingTable = NOTHING
    pending: RoutingTable | None = None
    leaving: tuple[ReleaseCluster, ...] = ()
    since: Mapping[str, int] = field(default_factory=dict)


_ADAPTER = TypeAdapter(State)


def load(folder: ConfigFolder) -> State:
    """The remembered state; a fresh one when there is none or it cannot be read."""
    text = read_text(folder.state)
    if text is None:
        return State()
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError:
        log.warning("router.state.unreadable", path=str(folder.state))
        return State()


def save(folder: ConfigFolder, state: State) -> None:
    """Remember the state."""
    write_atomically(folder.state, _ADAPTER.dump_json(state).decode())


def settled(state: State, running: int | None) -> State:
    """After a writer's death: did Envoy, which runs this generation, still take the table it was writing?"""
    if state.pending and running == state.pending.generation > state.applied.generation:
        return confirmed(state, state.pending)
    return state


def confirmed(state: State, table: RoutingTable) -> State:
    """The state after Envoy took `table`: what only the old ones had is leaving, and known clusters keep their age."""
    before = merged([*state.applied.clusters, *(state.pending.clusters if state.pending else ()), *state.leaving])
    leaving = without(before, table.clusters)
    known = {c.release_id for c in (*table.clusters, *leaving)}
    since = {r: state.since.get(r, table.generation) for r in sorted(known)}
    return State(applied=table, leaving=leaving, since=since)


def merged(clusters: Iterable[ReleaseCluster]) -> tuple[ReleaseCluster, ...]:
    """One cluster a release with the endpoints of all; of two settings the later wins."""
    found: dict[str, ReleaseCluster] = {}
    for cluster in clusters:
        earlier = found.get(cluster.release_id)
        both = {*cluster.endpoints, *(earlier.endpoints if earlier else ())}
        found[cluster.release_id] = replace(cluster, endpoints=tuple(sorted(both)))
    return tuple(found.values())


def without(clusters: Iterable[ReleaseCluster], kept: Iterable[ReleaseCluster]) -> tuple[ReleaseCluster, ...]:
    """What `clusters` have beyond `kept`: whole releases, and endpoints of releases that stay."""
    kept_endpoints = {c.release_id: frozenset(c.endpoints) for c in kept}
    out = []
    for cluster in clusters:
        gone = set(cluster.endpoints) - kept_endpoints.get(cluster.release_id, frozenset())
        if gone or cluster.release_id not in kept_endpoints:
            out.append(replace(cluster, endpoints=tuple(sorted(gone))))
    return tuple(out)


def endpoints_of(clusters: Iterable[ReleaseCluster], release_id: str) -> tuple[Endpoint, ...]:
    """The endpoints of one release, none when it is not there."""
    return next((c.endpoints for c in clusters if c.release_id == release_id), ())
