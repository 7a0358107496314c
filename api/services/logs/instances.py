"""The logs of a deployment's instances: the newest lines of all, and what comes after them."""

import asyncio
import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any
from uuid import UUID

from api.services.logs.follow import PIECE, Pieces, Told, told
from api.services.logs.masks import Masks
from domain.errors import NotFoundError
from domain.lifecycle import FINISHED_DEPLOYMENTS
from domain.log_lines import MAX_LINE, MISSED, WITHOUT_BEGINNING, LogLine, LogPiece, take_lines, wanted_bytes
from domain.masking import Masker
from runtime.instance_logs import InstanceLog, InstanceLogs
from runtime.log_files import RawPiece, moment_of
from runtime.single_flight import SharedAnswers
from storage.engine import Sessions, transaction
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.reconciliation import ENDED
from storage.tenancy import PLATFORM

# Bytes of one instance's log that are looked through for its newest lines, and of all of them.
LOOKED_THROUGH, OF_ALL = 1024 * 1024, 4 * 1024 * 1024
LEAST = 8 * 1024
STATE_KEEP_S = 0.5
# By what stands behind the release's id in an instance's: `0=1200,worker-1=5`.
_MARK = re.compile(r"([A-Za-z0-9_.-]{1,80}=\d{1,16}(,[A-Za-z0-9_.-]{1,80}=\d{1,16})*)?")
BEGINNING = ""


@dataclass(frozen=True)
class InstancesPlace:
    """`instance`: of this one alone. `mark`: how far each log was told; what is not named, from its beginning."""

    deployment_id: UUID
    instance: str | None
    mark: str = BEGINNING


@dataclass(frozen=True)
class ShownLine:
    """One line; `ms` since 1970, None where nobody noted when it was written."""

    instance: str
    offset: int
    ms: int | None
    text: str

    @property
    def time(self) -> datetime | None:
        """When it was written, to a tenth of a second."""
        return None if self.ms is None else datetime.fromtimestamp(self.ms / 1000, UTC)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        time = self.time
        moment = time.isoformat(timespec="milliseconds").replace("+00:00", "Z") if time else None
        return {"time": moment, "instance": self.instance, "text": self.text}


@dataclass(frozen=True)
class Newest:
    """The newest lines, oldest first; `more`: older ones were asked for, too. `mark`: the place where they begin."""

    instances: Sequence[str]
    lines: Sequence[ShownLine]
    more: bool
    mark: str


@dataclass(frozen=True)
class _State:
    """Of a deployment: whose it is, whose instances it has, how it ended, None: something of it (still) runs."""

    project_id: UUID
    release_id: UUID
    ended: str | None


class DeploymentLogs:
    """Reads and follows logs of deployments, for whoever may read them: that was checked before."""

    def __init__(self, *, sessions: Sessions, masks: Masks, logs: InstanceLogs) -> None:
        self._sessions = sessions
        self._masks = masks
        self._logs = logs
        self._pieces: Pieces[InstancesPlace] = Pieces(self._read)
        self._states: SharedAnswers[UUID, _State] = SharedAnswers(self._look, keep_s=STATE_KEEP_S)

    async def newest(self, place: InstancesPlace, *, since: datetime | None, limit: int) -> Newest:
        """The newest `limit` lines, of those written since a moment.

        Raises:
            NotFoundError: the deployment has no such instance.
            DependencyError: secrets cannot be opened, so that nothing can be shown.
        """
        state = await self._states.get(place.deployment_id)
        masker = await self._masks.of(state.project_id)
        ms = None if since is None else int(since.timestamp() * 1000)
        return await asyncio.to_thread(self._newest, state, place, masker, ms, limit)

    async def at(self, place: InstancesPlace) -> Told:
        """What is told at a place."""
        return await self._pieces.at(place)

    async def _read(self, place: InstancesPlace) -> Told:
        # Asked before the files are read: what was written until then is there.
        state = await self._states.get(place.deployment_id)
        masker = await self._masks.of(state.project_id)
        lines, mark = await asyncio.to_thread(self._piece, state, place, masker)
        end = None if state.ended is None else {"status": state.ended}
        return told(lines=[line.told() for line in lines], mark=mark, before=place.mark, end=end)

    async def _look(self, deployment_id: UUID) -> _State:
        async with transaction(self._sessions) as session:
            deployments = DeploymentRepository(session, PLATFORM)
            row = await deployments.get(deployment_id)
            release = await deployments.release_of(row)
        runs = release is not None and release.state not in ENDED
        over = row.status in FINISHED_DEPLOYMENTS and not runs
        return _State(row.project_id, release.id if release else row.id, row.status if over else None)

    def _chosen(self, state: _State, wanted: str | None) -> Sequence[str]:
        known = self._logs.instances(state.release_id)
        return known if wanted is None else [each for each in known if each == wanted]

    def _newest(self, state: _State, place: InstancesPlace, masker: Masker, since: int | None, limit: int) -> Newest:
        known = self._logs.instances(state.release_id)
        if place.instance is not None and place.instance not in known:
            raise NotFoundError(f"the deployment has no log of an instance {place.instance!r}")
        chosen = known if place.instance is None else [place.instance]
        room = min(LOOKED_THROUGH, max(LEAST, OF_ALL // max(1, len(chosen))))
        found, more, begins = list[tuple[int, ShownLine]](), False, dict[str, int]()
        for name in chosen:
            log = self._logs.log(state.release_id, name)
            lines, cut, end = _last_lines(name, log, masker, since=since, limit=limit, room=room)
            found += zip(_orders(lines), lines, strict=True)
            more = more or cut
            begins[name] = end
        order = [line for _, line in sorted(found, key=lambda each: (each[0], each[1].instance, each[1].offset))]
        shown = order[-limit:]
        for line in reversed(shown):
            begins[line.instance] = min(begins[line.instance], line.offset)
        return Newest(chosen, shown, more or len(shown) < len(order), _mark(begins, state.release_id))

    def _piece(self, state: _State, place: InstancesPlace, masker: Masker) -> tuple[list[ShownLine], str]:
        places = _places(place.mark, state.release_id)
        chosen = self._chosen(state, place.instance)
        most = max(LEAST, PIECE // max(1, len(chosen)))
        parts = []
        for name in chosen:
            log = self._logs.log(state.release_id, name)
            at = places.get(name, 0)
            raw = log.read(at, wanted_bytes(most, masker))
            final = state.ended is not None and raw.is_last
            piece = take_lines(raw.data, raw.at, masker=masker, most=most, within=raw.within, final=final)
            missed = [LogLine(at, MISSED.format(count=raw.at - at))] if at and raw.at > at else []
            parts.append(_shown(name, log, [*missed, *piece.lines]))
            places[name] = piece.end
        lines = heapq.merge(*parts, key=lambda line: line.ms or 0)
        return list(lines), _mark(places, state.release_id)


def mark_of(last_event_id: str | None) -> str | None:
    """The place that a client names; None: it names none."""
    return last_event_id if last_event_id and _MARK.fullmatch(last_event_id) else None


def _places(mark: str, release_id: UUID) -> dict[str, int]:
    pairs = (each.split("=") for each in mark.split(",") if each)
    return {f"{release_id}-{name}": int(place) for name, place in pairs}


def _mark(places: Mapping[str, int], release_id: UUID) -> str:
    return ",".join(f"{name.removeprefix(f'{release_id}-')}={place}" for name, place in places.items())


def _last_lines(
    name: str, log: InstanceLog, masker: Masker, *, since: int | None, limit: int, room: int
) -> tuple[Sequence[ShownLine], bool, int]:
    """The last lines of a log, whether there are older ones, and where the next one begins."""
    begin, end = log.bounds()
    wanted = begin if since is None else log.since(since)
    first = max(wanted, end - room)
    raw = log.read(first, room + masker.longest)
    piece = take_lines(raw.data, raw.at, masker=masker, most=room, within=raw.within, final=raw.is_last)
    lines = [*_cut_before(raw, piece, at_beginning=first == begin), *piece.lines]
    shown = _shown(name, log, lines[-limit:])
    is_whole = not piece.lines or raw.data.endswith(b"\n")
    following = piece.end if is_whole else piece.lines[-1].offset
    return shown, first > wanted or len(shown) < len(lines), following


def _cut_before(raw: RawPiece, piece: LogPiece, *, at_beginning: bool) -> list[LogLine]:
    """A note for a line of which only the end is there: it is very long, or its beginning is not kept any more."""
    behind = piece.lines[0].offset if piece.lines else piece.end
    gone = (at_beginning and raw.at > 0) or behind - raw.at > MAX_LINE
    return [LogLine(raw.at, WITHOUT_BEGINNING)] if raw.within and gone else []


def _orders(lines: Sequence[ShownLine]) -> list[int]:
    """When, to put them among others: where the clock was set back, nothing is later than what follows it."""
    return list(accumulate((line.ms or 0 for line in reversed(lines)), min))[::-1]


def _shown(name: str, log: InstanceLog, lines: Sequence[LogLine]) -> list[ShownLine]:
    if not lines:
        return []
    moments = log.moments(lines[0].offset, lines[-1].offset)
    return [ShownLine(name, line.offset, moment_of(moments, line.offset), line.text) for line in lines]
